import { beforeEach, describe, expect, it } from 'vitest';
import { Conversation } from '../../src/conversation/conversation.ts';
import type { Effect } from '../../src/conversation/effect.ts';
import { DONE, KEPT, SAY_GOODBYE, SAY_PUT_THROUGH } from '../../src/conversation/farewell.ts';
import { OUTPUTS } from '../../src/conversation/tools.ts';
import { NO_USAGE, type ServerEvent } from '../../src/wire/openai.ts';
import {
  audio,
  cancelled,
  created,
  delta,
  done,
  echo,
  error,
  expected,
  frame,
  functionCall,
  itemAdded,
  outputAdded,
  press,
  STREAM,
  said,
  saying,
  speechStarted,
  speechStopped,
  written,
} from '../support/wire.ts';

const { cancel, clear, end, failed, hungUp, mark, media, output, putThrough, respond, run, text, truncate } =
  expected;

const TOOLS = [
  { name: 'time', timeoutMs: 10_000 },
  { name: 'weather', timeoutMs: 60_000 },
  { name: 'bye', timeoutMs: 10_000 },
];
const refused = error('conversation_already_has_active_response');

/** One whose session and stream are ready, and in which the caller speaks first. */
let call: Conversation;
beforeEach(() => {
  call = new Conversation(1_000, TOOLS, { greets: false }, 0);
  call.sessionReady(0);
  call.streamStarted(STREAM, 0);
});

/** Takes events that come at `now`, in order; returns what is done about them all. */
function take(now: number, ...events: ServerEvent[]): Effect[] {
  return events.flatMap((event) => call.fromOpenAI(event, now));
}

/** A turn of the caller's in which response `id` begins. */
function turn(id: string, now: number): void {
  take(now, speechStarted, speechStopped, created(id));
}

function tick(now: number): Effect[] {
  return call.tick(now);
}

describe('a tool that the model calls', () => {
  it('Its output goes up at once, and a response is asked for when the one that called it is over', () => {
    turn('r1', 0);
    take(500, delta('r1', 'preamble', 400));
    expect(take(600, functionCall('r1', 'c1', 'time', ' {"city": "Oslo"}'))).toEqual([
      run('time', 'c1', { city: 'Oslo' }),
    ]);
    expect(call.toolDone('c1', { output: '"noon"' }, 700)).toEqual([output('c1', '"noon"')]);
    expect(take(710, outputAdded('o1'))).toEqual([]);
    expect(take(800, done('r1'))).toEqual([respond]);
  });

  it('A tool that outlasts its response has one asked for when it has finished, and only one', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'));
    expect(take(200, done('r1'))).toEqual([]);
    expect(call.toolDone('c1', { output: '"noon"' }, 900)).toEqual([output('c1', '"noon"'), respond]);
    expect(take(1_000, outputAdded('o1'), created('r2'), done('r2'))).toEqual([]);
    expect(tick(1_200)).toEqual([]);
  });

  it('Several tools at once cause one response, after the last', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'), functionCall('r1', 'c2', 'weather'), done('r1'));
    expect(call.toolDone('c2', { output: '"sun"' }, 200)).toEqual([output('c2', '"sun"')]);
    expect(call.toolDone('c1', { output: '"noon"' }, 300)).toEqual([output('c1', '"noon"'), respond]);
  });

  it('A response that was created before it could see the output is followed by another', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'), done('r1'));
    call.toolDone('c1', { output: '"noon"' }, 200);
    // Turn detection was quicker.
    take(210, created('r2'), outputAdded('o1'), refused);
    expect(take(900, done('r2'))).toEqual([respond]);
  });

  it('A response that turn detection created after the output was added is answer enough', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'), done('r1'));
    call.toolDone('c1', { output: '"noon"' }, 200);
    take(210, outputAdded('o1'), created('r2'), refused);
    expect(take(900, done('r2'))).toEqual([]);
  });

  it('An output that OpenAI rejects, and never adds, owes one response and no more', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'), done('r1'));
    expect(call.toolDone('c1', { output: '"noon"' }, 200)).toEqual([output('c1', '"noon"'), respond]);
    expect(take(300, error('invalid_tool_call_id'), created('r2'), done('r2'))).toEqual([]);
    expect(tick(500)).toEqual([]);
  });

  it('No response is asked for while the caller speaks or waits for a reply anyway', () => {
    turn('r1', 0);
    take(100, done('r1'), speechStarted);
    take(110, functionCall('r2', 'c1', 'time'));
    expect(call.toolDone('c1', { output: '"noon"' }, 200)).toEqual([output('c1', '"noon"')]);
    expect(take(300, speechStopped)).toEqual([]);
    expect(tick(400)).toEqual([]);
  });

  it('A result after the caller has cut in goes up, and causes no turn of its own', () => {
    turn('r1', 0);
    take(100, delta('r1', 'preamble', 400), functionCall('r1', 'c1', 'time'), done('r1'));
    take(200, speechStarted);
    expect(call.toolDone('c1', { output: '"noon"' }, 300)).toEqual([output('c1', '"noon"')]);
    take(900, speechStopped, created('r2'), outputAdded('o1'));
    expect(take(1_500, done('r2'))).toEqual([]);
    expect(tick(5_000)).toEqual([]);
  });

  it.each([
    ['of a name that it was not given', 'nothing', '{}', OUTPUTS.unknown],
    ['whose arguments are no JSON', 'time', '{"city', OUTPUTS.badArguments],
  ])('A tool %s is answered with a sentence, and the response follows', (_, name, json, sentence) => {
    turn('r1', 0);
    expect(take(100, functionCall('r1', 'c1', name, json))).toEqual([
      failed(name, sentence),
      output('c1', sentence),
    ]);
    expect(take(200, done('r1'))).toEqual([respond]);
  });

  it('A tool that failed is answered with a sentence', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'), done('r1'));
    expect(call.toolDone('c1', { output: OUTPUTS.failed }, 200)).toEqual([
      output('c1', OUTPUTS.failed),
      respond,
    ]);
  });

  it('The model is told of a tool that takes too long, and a late result is dropped', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'), done('r1'));
    expect(tick(10_099)).toEqual([]);
    const timedOut = { ...failed('time', OUTPUTS.timedOut), callId: 'c1' };
    expect(tick(10_100)).toEqual([timedOut, output('c1', OUTPUTS.timedOut), respond]);
    expect(call.toolDone('c1', { output: '"noon"' }, 10_200)).toEqual([]);
  });
});

describe('a caller who waits', () => {
  /** Ticks from `from` on until the call is over; returns when that was, and why. */
  function overAt(from: number, until: number): unknown {
    for (let now = from; now < until; now += 250) {
      const last = tick(now).find((effect) => 'end' in effect);
      if (last !== undefined) return [now, last];
    }
    return undefined;
  }

  it('A caller waits for a tool as long as it runs, and then 15 s for the response', () => {
    turn('r1', 0);
    take(0, functionCall('r1', 'c1', 'weather'), done('r1'));
    expect(overAt(0, 50_000)).toBeUndefined();
    call.toolDone('c1', { output: '"sun"' }, 50_000);
    take(50_000, outputAdded('o1'), created('r2'));
    expect(overAt(50_000, 90_000)).toEqual([64_750, end('no reply')]);
  });

  it('A caller who heard a preamble waits for what was promised', () => {
    turn('r1', 0);
    take(0, delta('r1', 'preamble', 400), functionCall('r1', 'c1', 'weather'), done('r1'));
    expect(overAt(0, 50_000)).toBeUndefined();
    call.toolDone('c1', { output: '"sun"' }, 50_000);
    expect(overAt(50_000, 90_000)).toEqual([65_000, end('no reply')]);
  });
});

describe('a caller who has moved on', () => {
  it('A caller who hears a preamble before a quick tool does not wait in vain for the response', () => {
    turn('r1', 0);
    take(100, delta('r1', 'a', 400), functionCall('r1', 'c1', 'time'));
    call.toolDone('c1', { output: '1' }, 150);
    expect(take(200, done('r1'))).toEqual([respond]);
    expect(tick(15_199)).toEqual([]);
    expect(tick(15_200)).toEqual([end('no reply')]);
  });

  it('A slow tool of a response that was interrupted holds up nothing of the next', () => {
    turn('r1', 0);
    take(100, delta('r1', 'a', 400), functionCall('r1', 'c1', 'weather'), done('r1'));
    turn('r2', 200);
    take(300, functionCall('r2', 'c2', 'time'), done('r2'));
    expect(call.toolDone('c2', { output: '1' }, 400)).toEqual([output('c2', '1'), respond]);
    expect(call.toolDone('c1', { output: '2' }, 500)).toEqual([output('c1', '2')]);
  });
});

describe('a caller who presses keys', () => {
  it('A key over the goodbye keeps the call, as a word would', () => {
    turn('r1', 0);
    take(100, delta('r1', 'a', 4_000), functionCall('r1', 'c1', 'bye'), done('r1'));
    call.toolDone('c1', { ends: { to: undefined } }, 150);
    call.fromTwilio(press('1'), 300);
    expect(tick(600)).toEqual([]);
    expect(tick(1_800)).toEqual([text('user', '(The caller pressed 1 on the keypad.)'), respond]);
  });

  it('Keys that come before the session is ready wait for it', () => {
    call = new Conversation(1_000, [], { greets: true }, 0);
    call.streamStarted(STREAM, 0);
    expect([press('4'), press('#')].flatMap((key) => call.fromTwilio(key, 100))).toEqual([]);
    expect(call.sessionReady(500)).toEqual([respond]);
    expect(tick(600)).toEqual([text('user', '(The caller pressed 4 on the keypad.)')]);
  });

  const KEYS = text('user', '(The caller pressed 1 2 3 on the keypad.)');

  function keys(digits: string, now: number): Effect[] {
    return [...digits].flatMap((digit) => call.fromTwilio(press(digit), now));
  }

  it('Keys go up as one item, then a response is asked for', () => {
    expect(keys('123#', 0)).toEqual([KEYS, respond]);
    expect(take(100, itemAdded('k', { role: 'user', text: 'keys' }), created('r1'), done('r1'))).toEqual([]);
  });

  it('Keys go up once the caller has paused, and are counted', () => {
    expect(keys('123', 1_000)).toEqual([]);
    expect(tick(2_499)).toEqual([]);
    expect(tick(2_500)).toEqual([KEYS, respond]);
    expect(call.summary(0)).toMatchObject({ keysPressed: 3 });
  });

  it('The first key over the assistant cuts in, and stops OpenAI, which does not hear it', () => {
    turn('r1', 0);
    take(1_000, delta('r1', 'a', 4_000));
    expect(keys('1', 2_000)).toEqual([clear, truncate('a', 1_000), cancel('r1')]);
    expect(take(2_010, delta('r1', 'a', 400))).toEqual([]);
    expect(keys('23#', 2_200)).toEqual([KEYS]);
    expect(take(2_300, cancelled('r1'))).toEqual([respond]);
  });

  it('Nothing is cancelled where all is said, and only the caller has not heard it yet', () => {
    turn('r1', 0);
    take(1_000, delta('r1', 'a', 4_000), done('r1'));
    expect(keys('1', 2_000)).toEqual([clear, truncate('a', 1_000)]);
  });

  it('The second key does not cut in again', () => {
    keys('1', 0);
    take(100, created('r1'), delta('r1', 'a', 4_000));
    expect(keys('2', 1_000)).toEqual([]);
  });

  it('The tool that runs when keys go up is waited for, and one response sees both', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'), done('r1'));
    expect(keys('123#', 200)).toEqual([KEYS]);
    expect(call.toolDone('c1', { output: '"noon"' }, 300)).toEqual([output('c1', '"noon"'), respond]);
  });
});

describe('the assistant ends the call', () => {
  const toHangUp = { ends: { to: undefined } };

  /** Response `id` says goodbye for 2 s, in the item `item`, and ends the call. */
  function goodbye(id: string, item: string, now: number): Effect[] {
    take(now, delta(id, item, 2_000), functionCall(id, `${id}-bye`, 'bye'));
    return [...call.toolDone(`${id}-bye`, toHangUp, now), ...take(now, done(id))];
  }

  it('A goodbye in the response that ends the call is heard to its end first', () => {
    turn('r1', 0);
    expect(goodbye('r1', 'a', 1_000)).toEqual([output('r1-bye', DONE)]);
    expect(tick(2_900)).toEqual([]);
    expect(call.fromTwilio(echo('audio-1'), 3_060)).toEqual([hungUp]);
  });

  it('A response that ends the call without a word is followed by the goodbye, which is heard first', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'bye'));
    expect(call.toolDone('c1', toHangUp, 100)).toEqual([output('c1', SAY_GOODBYE)]);
    expect(take(200, done('r1'))).toEqual([respond]);
    expect(take(900, outputAdded('o1'), created('r2'))).toEqual([]);
    take(1_000, delta('r2', 'a', 2_000));
    expect(take(1_100, done('r2'))).toEqual([]);
    expect(call.fromTwilio(echo('audio-1'), 3_060)).toEqual([hungUp]);
  });

  it('A goodbye whose mark does not come is taken to be heard 2 s late', () => {
    turn('r1', 0);
    goodbye('r1', 'a', 1_000);
    expect(tick(4_999)).toEqual([]);
    expect(tick(5_000)).toEqual([hungUp]);
  });

  it('A caller is put through once that was said and heard', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'bye'));
    const result = { ends: { to: '+14155550100' } };
    expect(call.toolDone('c1', result, 100)).toEqual([output('c1', SAY_PUT_THROUGH)]);
    take(900, done('r1'), outputAdded('o1'), created('r2'), delta('r2', 'a', 1_000), done('r2'));
    expect(call.fromTwilio(echo('audio-1'), 2_000)).toEqual([putThrough('+14155550100')]);
  });

  it('A caller who speaks over the goodbye keeps the call, and hears the second to its end', () => {
    turn('r1', 0);
    goodbye('r1', 'a', 1_000);
    expect(take(2_000, speechStarted)).toEqual([clear, truncate('a', 1_000)]);
    expect(call.fromTwilio(echo('audio-1'), 2_060)).toEqual([]);
    take(3_000, speechStopped, created('r2'));
    expect(tick(9_000)).toEqual([]);
    goodbye('r2', 'b', 10_000);
    expect(take(11_000, speechStarted)).toEqual([]);
    expect(tick(11_250)).toEqual([]);
    expect(call.fromTwilio(echo('audio-2'), 12_060)).toEqual([hungUp]);
  });

  it('A caller who has cut in before the tool says so has kept the call', () => {
    turn('r1', 0);
    take(1_000, delta('r1', 'a', 2_000), functionCall('r1', 'c1', 'bye'), done('r1'), speechStarted);
    expect(call.toolDone('c1', toHangUp, 1_100)).toEqual([output('c1', KEPT)]);
    take(2_000, speechStopped, created('r2'), done('r2'));
    expect(tick(9_000)).toEqual([]);
  });

  it('A caller who waits in vain for the goodbye is hung up on without an apology', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'bye'), done('r1'));
    call.toolDone('c1', toHangUp, 100);
    expect(tick(15_099)).toEqual([]);
    expect(tick(15_100)).toMatchObject([{ end: 'assistant hung up' }]);
  });
});

describe('before the stream has started', () => {
  const ABOUT = text('system', 'What is known of this caller, as data: "Known as Ann."');

  beforeEach(() => {
    call = new Conversation(1_000, TOOLS, { greets: true, about: 'Known as Ann.' }, 0);
  });

  it('The model is told about the caller, in an item before the greeting is asked for', () => {
    expect(call.sessionReady(0)).toEqual([ABOUT, respond]);
  });

  it('What the assistant says waits, and is played as if it had just come when the stream starts', () => {
    call.sessionReady(0);
    expect(take(500, created('r1'), delta('r1', 'a', 400), delta('r1', 'a', 600))).toEqual([]);
    expect(tick(2_000)).toEqual([]);
    expect(call.streamStarted(STREAM, 3_000)).toEqual([
      media(audio(400)),
      mark('audio-1'),
      media(audio(600)),
      mark('audio-2'),
    ]);
    call.fromTwilio(frame(0), 3_100);
    expect(take(3_300, speechStarted)).toEqual([clear, truncate('a', 300)]);
  });

  it('Nobody waits before the stream has started', () => {
    call.sessionReady(0);
    call.streamStarted(STREAM, 14_000);
    expect(tick(28_999)).toEqual([]);
    expect(tick(29_000)).toEqual([end('no reply')]);
  });

  it('What a session took whose stream never comes is counted, and once where it comes', () => {
    call.sessionReady(0);
    take(100, created('r1'), done('r1', { ...NO_USAGE, audioOut: 70 }));
    expect(call.tally.usage).toMatchObject({ audioOut: 70 });
    call.streamStarted(STREAM, 200);
    expect(call.tally.usage).toMatchObject({ audioOut: 70 });
  });

  it('A tool that was called meanwhile is run when the stream starts', () => {
    call.sessionReady(0);
    expect(take(500, created('r1'), functionCall('r1', 'c1', 'time'), done('r1'))).toEqual([]);
    expect(call.streamStarted(STREAM, 3_000)).toEqual([run('time', 'c1')]);
  });

  it('A session that becomes ready after the stream is greeted by, and heard, without a wait', () => {
    call.streamStarted(STREAM, 100);
    expect(call.sessionReady(200)).toEqual([ABOUT, respond]);
    expect(take(300, created('r1'), delta('r1', 'a', 400))).toEqual([media(audio(400)), mark('audio-1')]);
  });

  it('What a session that was lost has said is forgotten', () => {
    call.sessionReady(0);
    take(500, created('r1'), delta('r1', 'a', 400));
    call.sessionLost(false, 1_000);
    expect(call.streamStarted(STREAM, 3_000)).toEqual([]);
  });
});

it('What was said is written down as it was heard, in the order of the conversation', () => {
  take(0, speechStarted, speechStopped, itemAdded('u1', { role: 'user' }), created('r1'));
  take(500, itemAdded('a1', { role: 'assistant' }, 'u1'), saying('a1', 'It is noon '));
  take(500, delta('r1', 'a1', 4_000), said('a1', 'It is noon in Oslo just now.'), done('r1'));
  expect(call.transcript.isWritten).toBe(false);
  // The caller's words come late, and 2 s of 4 were heard.
  take(2_500, speechStarted, written('u1', 'What time is it?', 1.5));
  expect(call.transcript.isWritten).toBe(true);
  expect(call.transcript.entries()).toEqual([
    { who: 'caller', text: 'What time is it?', cut: false },
    { who: 'assistant', text: 'It is noon in', cut: true },
  ]);
  expect(call.tally.usage).toMatchObject({ transcriptionSeconds: 1.5 });
});
