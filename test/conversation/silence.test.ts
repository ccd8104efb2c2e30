import { beforeEach, describe, expect, it } from 'vitest';
import type { Conversation } from '../../src/conversation/conversation.ts';
import type { Effect } from '../../src/conversation/effect.ts';
import { SAY_GOODBYE } from '../../src/conversation/farewell.ts';
import { Watchdog } from '../../src/conversation/watchdog.ts';
import type { ServerEvent } from '../../src/wire/openai.ts';
import {
  cancelled,
  created,
  delta,
  done,
  echo,
  empty,
  error,
  expected,
  functionCall,
  incomplete,
  itemAdded,
  outputAdded,
  press,
  speechStarted,
  speechStopped,
  timedOut,
} from '../support/wire.ts';
import { inCall, readyCall } from './ready-call.ts';

const { cancel, end, output, respond, text } = expected;
/** Any event of a response that is at work. */
const working = (response_id: string): ServerEvent => ({ type: 'other', response_id });
const withoutTools = {
  to: 'openai',
  message: { type: 'response.create', response: { tool_choice: 'none' } },
};

let call: Conversation;
beforeEach(() => {
  call = readyCall([{ name: 'time', timeoutMs: 60_000 }]);
});

const { take } = inCall(() => call);

/** Ticks until the call is over; returns when that was, and why. */
function overAt(from: number, until: number, meanwhile: (now: number) => unknown = () => {}): unknown {
  for (let now = from; now < until; now += 250) {
    meanwhile(now);
    const last = call.tick(now).find((effect) => 'end' in effect);
    if (last !== undefined) return [now, last];
  }
  return undefined;
}

describe('The watchdog', () => {
  let watchdog: Watchdog;
  beforeEach(() => {
    watchdog = new Watchdog();
    watchdog.restart('sound', 0);
  });

  it('counts 15 s without a sign of work', () => {
    expect(watchdog.isOverdue(false, 14_999)).toBe(false);
    expect(watchdog.isOverdue(false, 15_000)).toBe(true);
  });

  it('counts from the end of what is busy', () => {
    expect(watchdog.isOverdue(true, 60_000)).toBe(false);
    expect(watchdog.isOverdue(false, 74_999)).toBe(false);
    expect(watchdog.isOverdue(false, 75_000)).toBe(true);
  });

  it('counts 45 s of silence in all while a response is at work', () => {
    for (let now = 0; now < 45_000; now += 10_000) watchdog.working(now);
    expect(watchdog.isOverdue(false, 44_999)).toBe(false);
    expect(watchdog.isOverdue(false, 45_000)).toBe(true);
  });

  it('counts nothing when nobody waits', () => {
    watchdog.stop();
    watchdog.working(1_000);
    expect(watchdog.isOverdue(false, 60_000)).toBe(false);
  });
});

describe('A caller who waits', () => {
  it('hears what was sent before the 15 s begin', () => {
    take(0, speechStarted, speechStopped, created('r1'), delta('r1', 'a', 28_000));
    expect(overAt(0, 60_000)).toEqual([42_750, end('no reply')]);
  });

  it('is given 45 s while a response is visibly at work', () => {
    take(0, speechStarted, speechStopped, created('r1'));
    expect(overAt(0, 90_000, (now) => take(now, working('r1')))).toEqual([45_000, end('no reply')]);
  });

  it('waits for a tool as long as it runs, then 15 s for the response', () => {
    take(0, speechStarted, speechStopped, created('r1'), functionCall('r1', 'c1', 'time'), done('r1'));
    expect(overAt(0, 50_000)).toBeUndefined();
    call.toolDone('c1', { output: '"sun"' }, 50_000);
    take(50_000, outputAdded('o1'), created('r2'));
    expect(overAt(50_000, 90_000)).toEqual([64_750, end('no reply')]);
  });

  it('waits 15 s for the reply to a word over a tool, however long that runs', () => {
    take(0, speechStarted, speechStopped, created('r1'), delta('r1', 'a', 400));
    take(100, functionCall('r1', 'c1', 'time'), done('r1'));
    call.fromTwilio(echo('audio-1'), 600);
    take(2_000, speechStarted, speechStopped);
    expect(overAt(2_000, 60_000)).toEqual([17_000, end('no reply')]);
  });

  it('waits 15 s for a response that hangs, however long an older tool runs', () => {
    take(0, speechStarted, speechStopped, created('r1'), delta('r1', 'a', 400));
    take(100, functionCall('r1', 'c1', 'time'), done('r1'));
    call.fromTwilio(echo('audio-1'), 600);
    take(2_000, speechStarted, speechStopped, created('r2'));
    expect(overAt(2_000, 80_000)).toEqual([17_000, end('no reply')]);
  });

  it('is not counted as waiting while speaking, whatever is owed', () => {
    take(0, speechStarted);
    call.fromTwilio(press('#'), 100);
    expect(overAt(0, 60_000)).toBeUndefined();
  });

  it('waits 15 s for a session that takes over', () => {
    take(0, created('r1'), delta('r1', 'a', 400), done('r1'));
    call.sessionLost(false, 5_000);
    expect(overAt(5_000, 60_000)).toEqual([20_000, end('no reply')]);
  });

  it('has waited since a session was last heard that fell silent over a turn', () => {
    take(0, created('r1'), delta('r1', 'a', 400), done('r1'));
    take(4_000, speechStarted);
    call.sessionLost(false, 15_000, 7_000);
    expect(overAt(15_000, 60_000)).toEqual([22_000, end('no reply')]);
  });

  it('gives the next session 6 s, however long the one before was silent', () => {
    take(0, created('r1'), delta('r1', 'a', 400), done('r1'));
    take(4_000, speechStarted);
    call.sessionLost(false, 16_000, 4_000);
    expect(overAt(16_000, 60_000)).toEqual([22_000, end('no reply')]);
  });

  it('is told after 15 s if the reply is text without audio', () => {
    take(0, speechStarted, speechStopped, created('r1'), working('r1'), done('r1'));
    expect(overAt(0, 60_000)).toEqual([15_000, end('no reply')]);
  });
});

describe('Tools without a word between them', () => {
  /** One response after the other calls a tool of 0.7 s, until it may not; returns how many. */
  function rounds(from: number, say = 0): number {
    take(from, speechStarted, speechStopped);
    for (let n = 1; ; n += 1) {
      const id = `r${from + n}`;
      const now = from + n * 1_000;
      take(
        now,
        created(id),
        ...(say > 0 ? [delta(id, `a${id}`, say)] : []),
        functionCall(id, `c${id}`, 'time'),
      );
      take(now, done(id));
      call.tick(now + 600);
      const effects = call.toolDone(`c${id}`, { output: '1' }, now + 700);
      take(now + 700, outputAdded(`o${id}`));
      if (n === 20 || JSON.stringify(effects).includes('tool_choice')) {
        expect(effects).toEqual([output(`c${id}`, '1'), n === 20 ? respond : withoutTools]);
        return n;
      }
    }
  }

  it('run in eight responses at most', () => {
    expect(rounds(0)).toBe(8);
    take(9_000, created('r'));
    expect(overAt(9_000, 60_000)).toEqual([23_750, end('no reply')]);
  });

  it('run on if the caller hears a word in each', () => {
    expect(rounds(0, 20)).toBe(20);
  });

  it('run eight times more after the caller has spoken', () => {
    rounds(0);
    expect(rounds(10_000)).toBe(8);
  });
});

describe('The end of a response', () => {
  beforeEach(() => {
    take(0, speechStarted, speechStopped, created('r1'));
  });

  it.each(['content_filter', 'max_output_tokens'])(
    'is followed by one more try after %s, unheard',
    (reason) => {
      expect(take(100, incomplete('r1', reason))).toEqual([respond]);
      take(200, created('r2'));
      expect(take(300, incomplete('r2', reason))).toMatchObject([{ end: 'response failed' }]);
      expect(call.summary(0)).toMatchObject({ retries: 1, errors: { [reason]: 2 } });
    },
  );

  it('is the end if it was cut short, but heard', () => {
    take(100, delta('r1', 'a', 400));
    expect(take(200, incomplete('r1'))).toEqual([]);
    expect(overAt(200, 60_000)).toBeUndefined();
  });

  it('leaves the line open if the model chose to say nothing', () => {
    expect(take(100, empty('r1'))).toEqual([]);
    expect(overAt(100, 60_000)).toBeUndefined();
  });
});

describe('A response that the caller speaks before', () => {
  beforeEach(() => {
    take(0, speechStarted, speechStopped, created('r1'), functionCall('r1', 'c1', 'time'), done('r1'));
    expect(call.toolDone('c1', { output: '1' }, 500)).toContainEqual(respond);
    take(600, speechStarted);
  });

  it('is cancelled by its id, and never played', () => {
    expect(take(700, outputAdded('o1'), created('r2'))).toEqual([cancel('r2')]);
    expect(take(800, delta('r2', 'a2', 2_000))).toEqual([expected.truncate('a2', 0)]);
    expect(take(900, cancelled('r2'), speechStopped, created('r3'))).toEqual([]);
    expect(take(1_000, delta('r3', 'a3', 400))).toMatchObject([{ to: 'twilio' }, { to: 'twilio' }]);
  });

  it('is the answer if turn detection was quicker', () => {
    take(700, speechStopped);
    expect(take(800, created('r2'), error('conversation_already_has_active_response'))).toEqual([]);
    expect(take(900, delta('r2', 'a2', 400))).toMatchObject([{ to: 'twilio' }, { to: 'twilio' }]);
  });
});

it('A response that a key has cut is not taken for the answer to the next turn', () => {
  take(
    0,
    speechStarted,
    speechStopped,
    created('r1'),
    delta('r1', 'a1', 4_000),
    functionCall('r1', 'c1', 'time'),
  );
  call.toolDone('c1', { output: '1' }, 100);
  expect(take(200, done('r1'))).toEqual([respond]);
  expect(call.fromTwilio(press('1'), 1_000)).toEqual([expected.clear, expected.truncate('a1', 1_000)]);
  take(1_100, speechStarted, speechStopped);
  expect(take(1_200, created('r2'), delta('r2', 'a2', 400))).toMatchObject([
    { to: 'twilio' },
    { to: 'twilio' },
  ]);
});

describe('A caller who is not there', () => {
  const GOODBYE = text('system', SAY_GOODBYE);

  /** The assistant asks, and the caller hears it. */
  function question(n: number): Effect[] {
    const now = n * 10_000;
    const effects = take(now, timedOut, itemAdded(`s${n}`, { role: 'system', text: 'No speech.' }));
    if (effects.length > 0) return effects;
    take(
      now,
      itemAdded(`u${n}`, { role: 'user' }),
      created(`q${n}`),
      delta(`q${n}`, `a${n}`, 400),
      done(`q${n}`),
    );
    call.tick(now + 1_000);
    return effects;
  }

  it('hears goodbye in place of a fourth question', () => {
    expect([question(1), question(2), question(3)]).toEqual([[], [], []]);
    expect(question(4)).toEqual([GOODBYE]);
    expect(take(40_100, created('q4'))).toEqual([cancel('q4')]);
    expect(take(40_200, cancelled('q4'))).toEqual([respond]);
    take(41_000, created('r5'), delta('r5', 'a5', 400), done('r5'));
    expect(call.fromTwilio(echo('audio-4'), 41_500)).toMatchObject([{ end: 'nobody there', isTold: true }]);
  });

  it.each<[string, () => void]>([
    ['a word', () => take(35_000, speechStarted, speechStopped, created('r'), done('r'))],
    ['a key', () => call.fromTwilio(press('1'), 35_000)],
  ])('is there again after %s', (_, happen) => {
    for (let n = 1; n <= 3; n += 1) question(n);
    happen();
    call.tick(38_000);
    take(38_000, itemAdded('k', { role: 'user', text: 'keys' }), created('k1'), empty('k1'));
    for (let n = 4; n <= 6; n += 1) expect(question(n)).toEqual([]);
    expect(question(7)).toEqual([GOODBYE]);
  });

  it('is not told goodbye while waiting for a tool', () => {
    take(0, speechStarted, speechStopped, created('r1'), functionCall('r1', 'c1', 'time'), done('r1'));
    for (let n = 1; n <= 5; n += 1) expect(question(n)).toEqual([]);
    call.toolDone('c1', { output: '1' }, 58_000);
    for (let n = 6; n <= 8; n += 1) expect(question(n)).toEqual([]);
    expect(question(9)).toEqual([GOODBYE]);
  });

  it('is asked once more about an item that crosses the question', () => {
    take(0, speechStarted, speechStopped, created('r1'), functionCall('r1', 'c1', 'time'), done('r1'));
    expect(call.toolDone('c1', { output: '1' }, 5_000)).toContainEqual(respond);
    take(5_100, timedOut, itemAdded('s', { role: 'system', text: 'No speech.' }), created('q'));
    take(5_200, error('conversation_already_has_active_response'), outputAdded('o'));
    expect(take(5_300, delta('q', 'a', 400), done('q'))).toContainEqual(respond);
  });
});
