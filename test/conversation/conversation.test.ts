import { describe, expect, it } from 'vitest';
import { Conversation } from '../../src/conversation/conversation.ts';
import { NO_USAGE, type ServerEvent } from '../../src/wire/openai.ts';
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
  itemAdded,
  STREAM,
  said,
  saying,
  speechStarted,
  speechStopped,
  written,
} from '../support/wire.ts';

const { append, clear, end, mark, media, respond, truncate } = expected;

function newCall(greets = false, now = 0): Conversation {
  const call = new Conversation(1_000, [], { greets }, now);
  call.streamStarted(STREAM, now);
  return call;
}

function readyCall(greets = false): Conversation {
  const call = newCall(greets);
  call.sessionReady(0);
  return call;
}

describe('when the session is ready', () => {
  it('The assistant greets, then what the caller has said meanwhile is passed on', () => {
    const call = newCall(true);
    expect(call.fromTwilio(frame(0), 0)).toEqual([]);
    expect(call.sessionReady(0)).toEqual([respond, append(audio(20))]);
  });

  it('The assistant greets once more if the session was lost', () => {
    const call = readyCall(true);
    call.sessionLost(false, 0);
    expect(call.fromTwilio(frame(0), 0)).toEqual([]);
    expect(call.sessionReady(500)).toEqual([respond, append(audio(20))]);
  });
});

describe("the assistant's audio", () => {
  it('Audio comes down as it came, each delta with a mark of its own', () => {
    const call = readyCall();
    expect(call.fromOpenAI(delta('r', 'a', 100), 0)).toEqual([media(audio(100)), mark('audio-1')]);
    expect(call.fromOpenAI(delta('r', 'a', 150), 0)).toEqual([media(audio(150)), mark('audio-2')]);
  });

  it('An empty delta is not sent', () => {
    expect(readyCall().fromOpenAI(delta('r', 'a', 0), 0)).toEqual([]);
  });
});

describe('when the caller speaks over the assistant', () => {
  it('Twilio is cleared, and each item truncated where the caller stopped hearing it', () => {
    const call = readyCall();
    // The stream's clock, which counts, is 6 s behind ours.
    call.fromTwilio(frame(1000), 7000);
    call.fromOpenAI(delta('r', 'a', 4000), 7000);
    call.fromOpenAI(delta('r', 'b', 4000), 7000);
    call.fromTwilio(frame(1740), 7790);
    expect(call.fromOpenAI(speechStarted, 7800)).toEqual([clear, truncate('a', 750), truncate('b', 0)]);
    expect(call.summary(0)).toMatchObject({ bargeIns: 1 });
  });

  it('What still arrives for the response is dropped, and the next is played', () => {
    const call = readyCall();
    call.fromOpenAI(created('r1'), 0);
    call.fromOpenAI(delta('r1', 'a', 400), 0);
    call.fromOpenAI(speechStarted, 100);
    expect(call.fromOpenAI(delta('r1', 'a', 400), 110)).toEqual([]);
    call.fromOpenAI(done('r1'), 120);
    expect(call.fromOpenAI(delta('r1', 'a', 400), 130)).toEqual([]);
    call.fromOpenAI(speechStopped, 900);
    call.fromOpenAI(created('r2'), 900);
    expect(call.fromOpenAI(delta('r2', 'b', 400), 900)).toEqual([media(audio(400)), mark('audio-2')]);
  });

  it('A response that had long been generated is cut off and dropped like any other', () => {
    const call = readyCall();
    call.fromOpenAI(created('r'), 0);
    call.fromOpenAI(delta('r', 'a', 4000), 0);
    call.fromOpenAI(done('r'), 10);
    expect(call.fromOpenAI(speechStarted, 300)).toEqual([clear, truncate('a', 300)]);
    expect(call.fromOpenAI(delta('r', 'a', 400), 310)).toEqual([]);
  });

  it('A response that is interrupted before its first sound is truncated at 0', () => {
    const call = readyCall();
    call.fromOpenAI(created('r'), 0);
    expect(call.fromOpenAI(speechStarted, 100)).toEqual([]);
    expect(call.fromOpenAI(delta('r', 'a', 400), 110)).toEqual([truncate('a', 0)]);
    expect(call.fromOpenAI(delta('r', 'a', 400), 120)).toEqual([]);
    expect(call.summary(0)).toMatchObject({ bargeIns: 0 });
  });

  it('Audio that is dropped is truncated where its item was heard to', () => {
    const call = readyCall();
    call.fromOpenAI(created('r'), 0);
    call.fromOpenAI(delta('r', 'a', 100), 0);
    expect(call.fromOpenAI(speechStarted, 150)).toEqual([]);
    expect(call.fromOpenAI(delta('r', 'a', 400), 160)).toEqual([truncate('a', 100)]);
    expect(call.fromOpenAI(delta('r', 'a', 400), 170)).toEqual([]);
  });

  it('Audio whose mark came back early is not cleared', () => {
    const call = readyCall();
    call.fromOpenAI(delta('r', 'a', 400), 1000);
    call.fromTwilio(echo('audio-1'), 1390);
    expect(call.fromOpenAI(speechStarted, 1395)).toEqual([]);
  });
});

describe('an error in mid-call', () => {
  it('A harmless error is counted, and the call goes on', () => {
    const call = readyCall();
    expect(call.fromOpenAI(error('response_cancel_not_active'), 0)).toEqual([]);
    expect(call.fromOpenAI(error('response_cancel_not_active'), 0)).toEqual([]);
    expect(call.summary(0)).toMatchObject({ errors: { response_cancel_not_active: 2 } });
  });

  it('An error that only the owner can mend ends the call', () => {
    expect(readyCall().fromOpenAI(error('insufficient_quota'), 0)).toEqual([
      end('openai error', 'insufficient_quota'),
    ]);
  });
});

describe('as time passes', () => {
  it('The call of a caller who waits for too long ends', () => {
    expect(readyCall(true).tick(15_000)).toEqual([end('no reply')]);
  });

  it('A caller who was muted in mid-sentence is given silence', () => {
    const call = readyCall();
    call.fromOpenAI(speechStarted, 0);
    call.fromTwilio(frame(1000), 1000);
    expect(call.tick(1750)).toEqual([append(audio(1000, 0xff))]);
    call.fromOpenAI(speechStarted, 2000);
    call.fromOpenAI(speechStopped, 2500);
    expect(call.tick(9000)).toEqual([]);
  });

  it("A call ends with `no reply` if a muted caller's turn is never detected", () => {
    const call = readyCall();
    call.fromOpenAI(speechStarted, 0);
    call.fromTwilio(frame(1000), 1000);
    call.tick(2000);
    expect(call.tick(16_999)).toEqual([]);
    expect(call.tick(17_000)).toEqual([end('no reply')]);
  });
});

describe('what is known of a call afterwards', () => {
  it('The summary has failed responses and retries', () => {
    const call = readyCall();
    expect(call.fromOpenAI(failed('r1'), 1000)).toEqual([respond]);
    expect(call.summary(0)).toMatchObject({ retries: 1, errors: { server_error: 1 } });
  });

  it('The summary has the tokens of all responses', () => {
    const call = readyCall();
    call.fromOpenAI(done('r1', { ...NO_USAGE, textIn: 40, cachedAudioIn: 8, audioOut: 100 }), 0);
    call.fromOpenAI(done('r2', { ...NO_USAGE, textIn: 60, cachedTextIn: 5, audioIn: 30, textOut: 7 }), 0);
    const usage = { textIn: 100, cachedTextIn: 5, audioIn: 30, cachedAudioIn: 8, textOut: 7, audioOut: 100 };
    expect(call.summary(0)).toMatchObject({ usage });
  });

  it('The summary has what transcription is billed by: seconds or tokens', () => {
    const call = readyCall();
    const transcribed = (seconds: number, tokensIn: number, tokensOut: number): ServerEvent => ({
      ...{ type: 'caller transcribed', item_id: 'u', transcript: 'Hm?' },
      usage: {
        transcriptionSeconds: seconds,
        transcriptionTokensIn: tokensIn,
        transcriptionTokensOut: tokensOut,
      },
    });
    call.fromOpenAI(transcribed(3, 0, 0), 0);
    call.fromOpenAI(transcribed(0, 40, 7), 0);
    call.fromOpenAI(transcribed(0, 2, 1), 0);
    const usage = { transcriptionSeconds: 3, transcriptionTokensIn: 42, transcriptionTokensOut: 8 };
    expect(call.summary(0)).toMatchObject({ usage });
  });

  it('The summary has the latency of the session, the greeting, and replies', () => {
    const call = newCall(true, 1000);
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
    expect(call.summary(0)).toMatchObject({
      latencyMs: { ready: 400, firstSound: 600, reply: { median: 700, worst: 2000 } },
    });
  });

  it('The summary of a call without a reply has no latency', () => {
    expect(newCall().summary(0)).toMatchObject({
      framesUp: 0,
      framesDown: 0,
      latencyMs: { ready: undefined, firstSound: undefined, reply: { median: undefined, worst: undefined } },
    });
  });
});

it('The transcript has what was heard, in the order of the conversation', () => {
  const call = readyCall();
  const take = (now: number, ...events: ServerEvent[]) => {
    for (const event of events) call.fromOpenAI(event, now);
  };
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
