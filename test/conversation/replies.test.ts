import { beforeEach, describe, expect, it } from 'vitest';
import { Replies } from '../../src/conversation/replies.ts';
import { NO_USAGE, type ResponseDone } from '../../src/wire/openai.ts';
import { expected } from '../support/wire.ts';

const { cancel, end, respond } = expected;

function done(id: string): ResponseDone {
  return { id, status: 'completed', isEmpty: false, error: undefined, usage: NO_USAGE };
}

/** A response that failed, with OpenAI's code for why. */
function failed(id: string, code = 'server_error', message?: string): ResponseDone {
  return { ...done(id), status: 'failed', error: { code, message } };
}

let replies: Replies;
beforeEach(() => {
  replies = new Replies();
});

/** What is asked for at `now`, or that the call is over. */
function tick(now: number): unknown[] {
  return replies.isOverdue(false, now) ? ['overdue'] : replies.due(false, now);
}

/** What is asked for when a response is over. */
function over(response: ResponseDone, now: number): unknown[] {
  const failure = replies.done(response, now);
  return failure === undefined ? replies.due(false, now) : [failure];
}

describe('the greeting', () => {
  it('The greeting is asked for when the session is ready', () => {
    replies.sessionReady(0, true, false, 0);
    expect(replies.due(false, 0)).toEqual([respond]);
  });

  it('No greeting is asked for where there is none', () => {
    replies.sessionReady(0, false, false, 0);
    expect(replies.due(false, 0)).toEqual([]);
  });

  it('The greeting is asked for again where it failed', () => {
    expect(over(failed('r1'), 0)).toEqual([respond]);
  });

  it('A caller is not left waiting for more than 15 s for the greeting', () => {
    replies.sessionReady(0, true, false, 0);
    replies.due(false, 0);
    expect(tick(14_999)).toEqual([]);
    expect(tick(15_000)).toEqual(['overdue']);
  });

  it('A caller who has heard the greeting waits for nothing', () => {
    replies.sessionReady(0, true, false, 0);
    replies.due(false, 0);
    replies.created('r0');
    expect(replies.heard('r0', 500)).toBeUndefined();
    replies.done(done('r0'), 900);
    expect(tick(60_000)).toEqual([]);
  });
});

describe('a response that failed', () => {
  it('A response that failed is asked for once more, and counted', () => {
    expect(over(failed('r1'), 1000)).toEqual([respond]);
    expect(replies.retries).toBe(1);
  });

  it('The second response in a row that failed ends the call', () => {
    over(failed('r1'), 0);
    expect(over(failed('r2'), 0)).toEqual([end('response failed', 'server_error').failure]);
  });

  it('A response that failed is forgiven once another went well', () => {
    over(failed('r1'), 0);
    replies.created('r2');
    replies.done(done('r2'), 0);
    replies.created('r3');
    expect(over(failed('r3'), 0)).toEqual([respond]);
  });

  it('A response that failed after the caller cut in is not retried', () => {
    replies.created('r1');
    replies.speechStarted(0, true);
    expect(over(failed('r1'), 200)).toEqual([]);
    expect(tick(60_000)).toEqual([]);
  });

  it('A response that failed after the caller had cut in counts for nothing', () => {
    replies.created('r1');
    replies.speechStarted(100, true);
    over(failed('r1'), 200);
    replies.turnEnded(1000);
    replies.created('r2');
    expect(over(failed('r2'), 1100)).toEqual([respond]);
  });

  it('A response that failed is forgiven when the caller has spoken since', () => {
    replies.created('r1');
    over(failed('r1'), 0);
    replies.created('r2');
    replies.heard('r2', 500);
    replies.speechStarted(1_000, true);
    replies.done({ ...done('r2'), status: 'cancelled' }, 1_001);
    replies.turnEnded(2_000);
    replies.created('r3');
    expect(over(failed('r3'), 2_100)).toEqual([respond]);
  });

  it('A response that failed while the caller speaks is not retried', () => {
    replies.speechStarted(0, true);
    replies.created('r1');
    expect(over(failed('r1'), 100)).toEqual([]);
    expect(tick(20_000)).toEqual([]);
  });

  it.each([
    ['Please try again in 1.2s. Visit us.', 1_200],
    ['Please try again in 300ms.', 300],
    ['Please try again in 7.2s.', 7_200],
    ['Too many requests.', 1_000],
  ])('A response that was rate-limited (%s) is retried after %i ms', (message, ms) => {
    replies.created('r1');
    expect(over(failed('r1', 'rate_limit_exceeded', message), 1_000)).toEqual([]);
    expect(tick(1_000 + ms - 1)).toEqual([]);
    expect(tick(1_000 + ms)).toEqual([respond]);
    expect(tick(1_000 + ms + 1)).toEqual([]);
  });

  it.each(['Please try again in 15s.', 'Please try again in 6m0s.'])(
    'A response that would be retried after 15 s or more (%s) ends the call',
    (message) => {
      replies.created('r1');
      expect(over(failed('r1', 'rate_limit_exceeded', message), 1_000)).toMatchObject([
        { reason: 'response failed', error: { message } },
      ]);
    },
  );

  it("A response that would be retried after the caller's 15 s ends the call at once", () => {
    replies.turnEnded(0);
    replies.created('r1');
    expect(over(failed('r1', 'rate_limit_exceeded', 'Please try again in 7.2s.'), 8_000)).toMatchObject([
      { reason: 'response failed' },
    ]);
  });

  it('A response that waits for its retry is dropped if the caller speaks', () => {
    replies.created('r1');
    over(failed('r1', 'rate_limit_exceeded'), 1_000);
    replies.speechStarted(1_500, true);
    expect(tick(2_500)).toEqual([]);
  });

  it('A response that failed because of the owner ends the call at once', () => {
    expect(over(failed('r1', 'insufficient_quota'), 0)).toEqual([
      end('response failed', 'insufficient_quota').failure,
    ]);
  });
});

describe('a response that the caller spoke over', () => {
  it('A response that the caller spoke over is interrupted, and the next is not', () => {
    replies.created('r1');
    replies.speechStarted(0, true);
    replies.turnEnded(0);
    replies.created('r2');
    expect(replies.isInterrupted('r1')).toBe(true);
    expect(replies.isInterrupted('r2')).toBe(false);
  });

  it('A response that begins over the caller is cancelled: the turn stays theirs', () => {
    replies.sessionReady(0, true, false, 0);
    replies.due(false, 0);
    replies.speechStarted(50, true);
    expect(replies.created('r1')).toEqual([cancel('r1')]);
    replies.sent(1, true, 100);
    expect(over({ ...done('r1'), status: 'cancelled' }, 200)).toEqual([]);
    expect(replies.isCallerSpeaking).toBe(true);
  });

  it('A key over the end of a response does not cut the next one', () => {
    replies.created('r1');
    replies.done(done('r1'), 0);
    replies.cancel();
    replies.speechStarted(100, true);
    replies.turnEnded(200);
    expect(replies.created('r2')).toEqual([]);
  });

  it('The last 100 responses that were interrupted are remembered', () => {
    for (let n = 0; n <= 100; n++) {
      replies.created(`r${n}`);
      replies.speechStarted(0, true);
    }
    expect(replies.isInterrupted('r0')).toBe(false);
    expect(replies.isInterrupted('r1')).toBe(true);
  });
});

describe('a caller who waits for a reply', () => {
  beforeEach(() => {
    replies.turnEnded(1000);
  });

  it('A caller is not left waiting for more than 15 s after speaking', () => {
    replies.created('r');
    expect(tick(15_999)).toEqual([]);
    expect(tick(16_000)).toEqual(['overdue']);
  });

  it('A caller waits until there is sound, and how long that took is told once', () => {
    expect(replies.heard('r1', 1700)).toBe(700);
    expect(replies.heard('r1', 1800)).toBeUndefined();
    replies.done(done('r1'), 2000);
    expect(tick(60_000)).toEqual([]);
  });

  it('A caller who has heard the beginning of a reply is not left waiting for its rest', () => {
    replies.created('r1');
    replies.heard('r1', 2000);
    expect(tick(16_999)).toEqual([]);
    expect(tick(17_000)).toEqual(['overdue']);
  });

  it('A caller who waits for a reply waits on when the response before it is over', () => {
    replies.created('r0');
    replies.heard('r0', 1100);
    replies.speechStarted(1200, true);
    replies.turnEnded(2000);
    replies.done({ ...done('r0'), status: 'cancelled' }, 2001);
    expect(tick(17_000)).toEqual(['overdue']);
  });

  it('A caller does not wait while speaking again, for 3 minutes at most', () => {
    replies.speechStarted(2_000, true);
    expect(tick(181_999)).toEqual([]);
    expect(tick(182_000)).toEqual(['overdue']);
  });

  it('A caller waits on though a response failed meanwhile', () => {
    over(failed('r'), 15_000);
    expect(tick(16_000)).toEqual(['overdue']);
  });
});

it('Keys after a turn that is heard late are answered after its reply', () => {
  replies.sent(1, true, 0);
  expect(replies.due(false, 0)).toEqual([respond]);
  replies.speechStarted(20, true);
  replies.turnEnded(20);
  replies.created('r1');
  replies.itemAdded({ id: 'i1', type: 'message', role: 'user', text: '1' });
  replies.error({ code: 'conversation_already_has_active_response', message: undefined }, 100);
  expect(over(done('r1'), 500)).toEqual([respond]);
});

it('A turn to which turn detection could not respond is answered', () => {
  replies.sent(1, true, 0);
  expect(replies.due(false, 0)).toEqual([respond]);
  replies.speechStarted(20, false);
  expect(replies.created('r1')).toEqual([cancel('r1')]);
  replies.turnEnded(30);
  replies.error({ code: 'conversation_already_has_active_response', message: undefined }, 40);
  expect(over({ ...done('r1'), status: 'cancelled' }, 100)).toEqual([respond]);
});
