import { describe, expect, it } from 'vitest';
import { Call } from '../../src/call/call.ts';
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
} from '../support/wire.ts';

const { append, clear, end, mark, media, respond, truncate } = expected;

function readyCall(greeting = ''): Call {
  const call = new Call(STREAM, greeting, 0);
  call.sessionReady(0);
  return call;
}

describe('when the session is ready', () => {
  it('greets, then passes on what the caller has said meanwhile', () => {
    const call = new Call(STREAM, 'Say hello.', 0);
    expect(call.fromTwilio(frame(0), 0)).toEqual([]);
    expect(call.sessionReady(0)).toEqual([respond('Say hello.'), append(audio(20))]);
  });

  it('does so once more where the session was lost', () => {
    const call = readyCall('Say hello.');
    call.sessionLost();
    expect(call.fromTwilio(frame(0), 0)).toEqual([]);
    expect(call.sessionReady(500)).toEqual([respond('Say hello.'), append(audio(20))]);
    expect(call.summary()).toMatchObject({ retries: 1 });
  });
});

describe("the assistant's audio", () => {
  it('comes down as it came, each delta with a mark of its own', () => {
    const call = readyCall();
    expect(call.fromOpenAI(delta('r', 'a', 100), 0)).toEqual([media(audio(100)), mark('audio-1')]);
    expect(call.fromOpenAI(delta('r', 'a', 150), 0)).toEqual([media(audio(150)), mark('audio-2')]);
  });

  it('is not sent where a delta is empty', () => {
    expect(readyCall().fromOpenAI(delta('r', 'a', 0), 0)).toEqual([]);
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
    expect(call.summary()).toMatchObject({ bargeIns: 1 });
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
    expect(call.summary()).toMatchObject({ bargeIns: 0 });
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

describe('an error in mid-call', () => {
  it('is counted, and harmless', () => {
    const call = readyCall();
    expect(call.fromOpenAI(error('response_cancel_not_active'), 0)).toEqual([]);
    expect(call.fromOpenAI(error('response_cancel_not_active'), 0)).toEqual([]);
    expect(call.summary()).toMatchObject({ errors: { response_cancel_not_active: 2 } });
  });

  it('ends the call where only the owner can mend it', () => {
    expect(readyCall().fromOpenAI(error('insufficient_quota'), 0)).toEqual([
      end('openai error', 'insufficient_quota'),
    ]);
  });
});

describe('as time passes', () => {
  it('a caller who waits for too long is not left waiting', () => {
    expect(readyCall('Say hello.').tick(15_000)).toEqual([end('no reply')]);
  });

  it('a caller who is muted in mid-sentence is heard to end', () => {
    const call = readyCall();
    call.fromOpenAI(speechStarted, 0);
    call.fromTwilio(frame(1000), 1000);
    expect(call.tick(1750)).toEqual([append(audio(1000, 0xff))]);
  });
});

describe('what is known of a call afterwards', () => {
  it('has the responses that failed, and those asked for once more', () => {
    const call = readyCall();
    expect(call.fromOpenAI(failed('r1'), 1000)).toEqual([respond()]);
    expect(call.summary()).toMatchObject({ retries: 1, errors: { server_error: 1 } });
  });

  it('has the tokens of all its responses', () => {
    const call = readyCall();
    call.fromOpenAI(done('r1', { input: 40, output: 100, cached: 8, text: 20, audio: 120 }), 0);
    call.fromOpenAI(done('r2', { input: 60, output: 50, cached: 30, text: 10, audio: 100 }), 0);
    expect(call.summary()).toMatchObject({
      usage: { input: 100, output: 150, cached: 38, text: 30, audio: 220 },
    });
  });

  it('has how long the caller waited: to be connected, greeted, and answered', () => {
    const call = new Call(STREAM, 'Say hello.', 1000);
    call.sessionReady(1400);
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
    expect(call.summary()).toMatchObject({
      latencyMs: { ready: 400, firstSound: 600, reply: { median: 700, worst: 2000 } },
    });
  });

  it('says so where nobody was ever answered', () => {
    expect(new Call(STREAM, '', 0).summary()).toMatchObject({
      framesUp: 0,
      framesDown: 0,
      latencyMs: { ready: undefined, firstSound: undefined, reply: { median: undefined, worst: undefined } },
    });
  });
});
