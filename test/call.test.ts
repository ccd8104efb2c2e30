import { describe, expect, it } from 'vitest';
import { Call } from '../src/call/call.ts';
import {
  audio,
  created,
  delta,
  done,
  echo,
  error,
  expected,
  failed,
  frame,
  STREAM,
  speechStarted,
  speechStopped,
} from './support/wire.ts';

const { append, clear, fails, mark, media, respond, truncate } = expected;

function readyCall(greeting = ''): Call {
  const call = new Call(STREAM, greeting, 0);
  call.ready(0);
  return call;
}

describe('before the session is ready', () => {
  it('keeps what the caller says, and passes it on in order after the greeting', () => {
    const call = new Call(STREAM, 'Say hello.', 0);
    expect(call.fromTwilio(frame(0, audio(20, 1)), 0)).toEqual([]);
    expect(call.fromTwilio(frame(20, audio(20, 2)), 20)).toEqual([]);
    expect(call.ready(0)).toEqual([respond('Say hello.'), append(audio(20, 1)), append(audio(20, 2))]);
  });

  it('lets the caller speak first where there is no greeting', () => {
    expect(new Call(STREAM, '', 0).ready(0)).toEqual([]);
  });

  it('keeps 10 s at most, drops the oldest first and counts them', () => {
    const call = new Call(STREAM, '', 0);
    for (let n = 0; n < 503; n++) call.fromTwilio(frame(n * 20, audio(20, n % 256)), n * 20);
    const kept = call.ready(0);
    expect(kept).toHaveLength(500);
    expect(kept[0]).toEqual(append(audio(20, 3)));
    expect(call.tally.earlyFramesDropped).toBe(3);
  });
});

describe('audio', () => {
  it('goes up as it came', () => {
    expect(readyCall().fromTwilio(frame(0, 'AAECAw=='), 0)).toEqual([append('AAECAw==')]);
  });

  it('comes down as it came, each delta with a mark of its own', () => {
    const call = readyCall();
    expect(call.fromOpenAI(delta('r', 'a', 100), 0)).toEqual([media(audio(100)), mark('audio-1')]);
    expect(call.fromOpenAI(delta('r', 'a', 150), 0)).toEqual([media(audio(150)), mark('audio-2')]);
  });

  it('is not sent where a delta is empty', () => {
    expect(readyCall().fromOpenAI(delta('r', 'a', 0), 0)).toEqual([]);
  });

  it('is not passed on where a frame is empty', () => {
    expect(readyCall().fromTwilio(frame(0, ''), 0)).toEqual([]);
  });

  it('waits again where the session has to be replaced', () => {
    const call = readyCall('Say hello.');
    call.waitForAnother();
    expect(call.fromTwilio(frame(0), 0)).toEqual([]);
    expect(call.ready(500)).toEqual([respond('Say hello.'), append(audio(20))]);
  });

  it('that is missing is filled with silence', () => {
    const call = readyCall();
    call.fromTwilio(frame(0), 0);
    expect(call.fromTwilio(frame(100), 100)).toEqual([append(audio(80, 0xff)), append(audio(20))]);
    expect(call.tally.gapsFilled).toBe(1);
  });

  it('that is missing is filled up to 10 s', () => {
    const call = readyCall();
    call.fromTwilio(frame(0), 0);
    expect(call.fromTwilio(frame(60_000), 60_000)[0]).toEqual(append(audio(10_000, 0xff)));
  });
});

describe('a caller who is muted in mid-sentence', () => {
  function speakingUntil(ms: number): Call {
    const call = readyCall();
    call.fromOpenAI(speechStarted, 0);
    call.fromTwilio(frame(ms), ms);
    return call;
  }

  it('is given a second of silence, once, so that the turn ends', () => {
    const call = speakingUntil(1000);
    expect(call.tick(1749)).toEqual([]);
    expect(call.tick(1750)).toEqual([append(audio(1000, 0xff))]);
    expect(call.tick(2000)).toEqual([]);
  });

  it('is not given that silence again on return', () => {
    const call = speakingUntil(1000);
    call.tick(1750);
    expect(call.fromTwilio(frame(5000), 5000)[0]).toEqual(append(audio(2980, 0xff)));
  });

  it('is left alone where the sentence had ended', () => {
    const call = speakingUntil(1000);
    call.fromOpenAI(speechStopped, 1000);
    expect(call.tick(1000 + 9000)).toEqual([]);
  });
});

describe('when the caller speaks over the assistant', () => {
  it('clears what Twilio has, and truncates the item where the caller stopped hearing it', () => {
    const call = readyCall();
    call.fromTwilio(frame(1000), 1000);
    call.fromOpenAI(created('r'), 1000);
    call.fromOpenAI(delta('r', 'a', 4000), 1000);
    call.fromTwilio(frame(1740), 1740);
    expect(call.fromOpenAI(speechStarted, 1750)).toEqual([clear, truncate('a', 750)]);
    expect(call.tally.bargeIns).toBe(1);
  });

  it('goes by the time that passes while no frames come', () => {
    const call = readyCall();
    call.fromTwilio(frame(1000), 7000);
    call.fromOpenAI(delta('r', 'a', 4000), 8000);
    expect(call.fromOpenAI(speechStarted, 8600)).toEqual([clear, truncate('a', 600)]);
  });

  it('goes by timestamps rather than by the time at which frames happen to come', () => {
    const call = readyCall();
    call.fromTwilio(frame(1000), 0);
    call.fromOpenAI(delta('r', 'a', 4000), 0);
    call.fromTwilio(frame(1500), 0);
    expect(call.fromOpenAI(speechStarted, 0)).toEqual([clear, truncate('a', 500)]);
  });

  it('does the same when the response had long been generated', () => {
    const call = readyCall();
    call.fromOpenAI(created('r'), 0);
    call.fromOpenAI(delta('r', 'a', 4000), 0);
    call.fromOpenAI(done('r'), 10);
    expect(call.fromOpenAI(speechStarted, 300)).toEqual([clear, truncate('a', 300)]);
  });

  it('truncates the items queued behind the one being heard at 0', () => {
    const call = readyCall();
    call.fromOpenAI(delta('r', 'a', 400), 0);
    call.fromOpenAI(delta('r', 'b', 400), 0);
    expect(call.fromOpenAI(speechStarted, 100)).toEqual([clear, truncate('a', 100), truncate('b', 0)]);
  });

  it('drops what still arrives for that response, and plays the next', () => {
    const call = readyCall();
    call.fromOpenAI(created('r1'), 0);
    call.fromOpenAI(delta('r1', 'a', 400), 0);
    call.fromOpenAI(speechStarted, 100);
    expect(call.fromOpenAI(delta('r1', 'a', 400), 110)).toEqual([]);
    call.fromOpenAI(done('r1'), 120);
    expect(call.fromOpenAI(delta('r1', 'a', 400), 130)).toEqual([]);
    call.fromOpenAI(created('r2'), 900);
    expect(call.fromOpenAI(delta('r2', 'b', 400), 900)).toEqual([media(audio(400)), mark('audio-2')]);
    expect(call.fromOpenAI(speechStarted, 1000)).toEqual([clear, truncate('b', 100)]);
  });

  it('drops what still arrives when the response had long been generated', () => {
    const call = readyCall();
    call.fromOpenAI(created('r'), 0);
    call.fromOpenAI(delta('r', 'a', 4000), 0);
    call.fromOpenAI(done('r'), 10);
    call.fromOpenAI(speechStarted, 300);
    expect(call.fromOpenAI(delta('r', 'a', 400), 310)).toEqual([]);
  });

  it('drops a response that is interrupted before its first sound', () => {
    const call = readyCall();
    call.fromOpenAI(created('r'), 0);
    expect(call.fromOpenAI(speechStarted, 100)).toEqual([]);
    expect(call.fromOpenAI(delta('r', 'a', 400), 110)).toEqual([]);
  });

  it('is no barge-in over silence', () => {
    const call = readyCall();
    expect(call.fromOpenAI(speechStarted, 100)).toEqual([]);
    call.fromOpenAI(delta('r', 'a', 400), 1000);
    call.fromTwilio(echo('audio-1'), 1460);
    expect(call.fromOpenAI(speechStarted, 1500)).toEqual([]);
    expect(call.tally.bargeIns).toBe(0);
  });

  it('is no barge-in twice over the same audio', () => {
    const call = readyCall();
    call.fromOpenAI(delta('r', 'a', 4000), 0);
    call.fromOpenAI(speechStarted, 100);
    expect(call.fromOpenAI(speechStarted, 200)).toEqual([]);
  });

  it('forgets the marks that Twilio sends back at once', () => {
    const call = readyCall();
    call.fromOpenAI(created('r1'), 0);
    call.fromOpenAI(delta('r1', 'a', 4000), 0);
    call.fromOpenAI(speechStarted, 100);
    call.fromOpenAI(created('r2'), 1000);
    call.fromOpenAI(delta('r2', 'b', 4000), 1000);
    call.fromTwilio(echo('audio-1'), 1010);
    expect(call.fromOpenAI(speechStarted, 1200)).toEqual([clear, truncate('b', 200)]);
  });
});

describe('a response that failed', () => {
  it('is asked for once more', () => {
    const call = readyCall();
    call.fromOpenAI(delta('r0', 'a', 100), 0);
    call.fromOpenAI(created('r1'), 1000);
    expect(call.fromOpenAI(failed('r1'), 1000)).toEqual([respond()]);
    expect(call.tally.summary()).toMatchObject({ retries: 1, errors: { server_error: 1 } });
  });

  it('is the greeting again where the greeting failed', () => {
    const call = readyCall('Say hello.');
    expect(call.fromOpenAI(failed('r1'), 0)).toEqual([respond('Say hello.')]);
  });

  it('ends the call the second time in a row', () => {
    const call = readyCall();
    call.fromOpenAI(failed('r1'), 0);
    expect(call.fromOpenAI(failed('r2'), 0)).toEqual([fails('response failed', 'server_error')]);
  });

  it('is not asked for again when the caller had cut in, and nobody is waiting then', () => {
    const call = readyCall();
    call.fromOpenAI(created('r1'), 0);
    call.fromOpenAI(speechStarted, 100);
    expect(call.fromOpenAI(failed('r1'), 200)).toEqual([]);
    expect(call.tick(60_000)).toEqual([]);
  });

  it('is not the greeting again where the caller had asked something meanwhile', () => {
    const call = readyCall('Say hello.');
    call.fromOpenAI(created('r0'), 0);
    call.fromOpenAI(speechStarted, 100);
    call.fromOpenAI(speechStopped, 1000);
    call.fromOpenAI(created('r1'), 1000);
    expect(call.fromOpenAI(failed('r1'), 1100)).toEqual([respond()]);
  });

  it('is forgiven once another went well', () => {
    const call = readyCall();
    call.fromOpenAI(failed('r1'), 0);
    call.fromOpenAI(done('r2'), 0);
    expect(call.fromOpenAI(failed('r3'), 0)).toEqual([respond()]);
  });

  it.each(['insufficient_quota', 'invalid_api_key', 'account_deactivated', 'billing_hard_limit_reached'])(
    'ends the call at once for %s',
    (code) => {
      expect(readyCall().fromOpenAI(failed('r1', code), 0)).toEqual([fails('response failed', code)]);
      expect(readyCall().fromOpenAI(error(code), 0)).toEqual([fails('openai error', code)]);
    },
  );
});

describe('an error in mid-call', () => {
  it('is counted, and harmless', () => {
    const call = readyCall();
    expect(call.fromOpenAI(error('response_cancel_not_active'), 0)).toEqual([]);
    expect(call.fromOpenAI(error('response_cancel_not_active'), 0)).toEqual([]);
    expect(call.tally.summary()).toMatchObject({ errors: { response_cancel_not_active: 2 } });
  });
});

describe('a caller who waits to hear something', () => {
  it('is not left waiting for more than 15 s after speaking', () => {
    const call = readyCall();
    call.fromOpenAI(speechStopped, 1000);
    call.fromOpenAI(created('r'), 1100);
    expect(call.tick(15_999)).toEqual([]);
    expect(call.tick(16_000)).toEqual([fails('no reply')]);
  });

  it('is not left waiting for more than 15 s for the greeting', () => {
    expect(readyCall('Say hello.').tick(15_000)).toEqual([fails('no reply')]);
  });

  it('does not wait once there is sound, or while speaking again', () => {
    const call = readyCall('Say hello.');
    call.fromOpenAI(delta('r', 'a', 100), 500);
    expect(call.tick(60_000)).toEqual([]);
    call.fromOpenAI(speechStopped, 60_000);
    call.fromOpenAI(speechStarted, 61_000);
    expect(call.tick(90_000)).toEqual([]);
  });

  it('waits no longer because a response failed meanwhile', () => {
    const call = readyCall();
    call.fromOpenAI(speechStopped, 0);
    call.fromOpenAI(failed('r'), 14_000);
    expect(call.tick(15_000)).toEqual([fails('no reply')]);
  });
});

describe('what is known of a call afterwards', () => {
  it('has the tokens of all its responses', () => {
    const call = readyCall();
    call.fromOpenAI(done('r1', { input: 40, output: 100, cached: 8, text: 20, audio: 120 }), 0);
    call.fromOpenAI(done('r2', { input: 60, output: 50, cached: 30, text: 10, audio: 100 }), 0);
    expect(call.tally.summary()).toMatchObject({
      usage: { input: 100, output: 150, cached: 38, text: 30, audio: 220 },
    });
  });

  it('has how long the caller waited: to be connected, greeted, and answered', () => {
    const call = new Call(STREAM, 'Say hello.', 1000);
    call.ready(1400);
    call.fromOpenAI(delta('r0', 'a', 100), 2000);
    for (const [stopped, heard] of [
      [3000, 3500],
      [5000, 7000],
      [9000, 9700],
    ] as const) {
      call.fromOpenAI(speechStopped, stopped);
      call.fromOpenAI(delta('r', 'b', 100), heard);
      call.fromOpenAI(delta('r', 'b', 100), heard + 100);
    }
    expect(call.tally.summary()).toMatchObject({
      latencyMs: { ready: 400, firstSound: 600, reply: { median: 700, worst: 2000 } },
    });
  });

  it('says so where nobody was ever answered', () => {
    expect(new Call(STREAM, '', 0).tally.summary()).toMatchObject({
      framesUp: 0,
      framesDown: 0,
      latencyMs: { ready: undefined, firstSound: undefined, reply: { median: undefined, worst: undefined } },
    });
  });
});
