import { describe, expect, it } from 'vitest';
import { Replies } from '../../src/call/replies.ts';
import type { ResponseDone } from '../../src/wire/openai.ts';
import { expected, NO_TOKENS } from '../support/wire.ts';

const { end, respond } = expected;

function done(id: string): ResponseDone {
  return { id, status: 'completed', error: undefined, usage: NO_TOKENS };
}

/** A response that failed, with OpenAI's code for why. */
function failed(id: string, code = 'server_error'): ResponseDone {
  return { ...done(id), status: 'failed', error: { code, message: undefined } };
}

describe('the greeting', () => {
  it('is asked for when the session is ready', () => {
    expect(new Replies('Say hello.').sessionReady(0)).toEqual([respond('Say hello.')]);
  });

  it('is not asked for where there is none', () => {
    expect(new Replies('').sessionReady(0)).toEqual([]);
  });

  it('is asked for again where it failed', () => {
    const replies = new Replies('Say hello.');
    expect(replies.done(failed('r1'), 0)).toEqual([respond('Say hello.')]);
  });

  it('is not asked for again once it was heard', () => {
    const replies = new Replies('Say hello.');
    replies.heard('r0', 0);
    expect(replies.done(failed('r1'), 1000)).toEqual([respond()]);
  });

  it('is not asked for again where the caller had asked something meanwhile', () => {
    const replies = new Replies('Say hello.');
    replies.created('r0');
    replies.speechStarted();
    replies.speechStopped(1000);
    replies.created('r1');
    expect(replies.done(failed('r1'), 1100)).toEqual([respond()]);
  });
});

describe('a response that failed', () => {
  it('is asked for once more, and counted', () => {
    const replies = new Replies('');
    expect(replies.done(failed('r1'), 1000)).toEqual([respond()]);
    expect(replies.retries).toBe(1);
  });

  it('ends the call the second time in a row', () => {
    const replies = new Replies('');
    replies.done(failed('r1'), 0);
    expect(replies.done(failed('r2'), 0)).toEqual([end('response failed', 'server_error')]);
  });

  it('is forgiven once another went well', () => {
    const replies = new Replies('');
    replies.done(failed('r1'), 0);
    replies.done(done('r2'), 0);
    expect(replies.done(failed('r3'), 0)).toEqual([respond()]);
  });

  it('is not asked for again when the caller had cut in, and nobody waits for it then', () => {
    const replies = new Replies('');
    replies.created('r1');
    replies.speechStarted();
    expect(replies.done(failed('r1'), 200)).toEqual([]);
    expect(replies.tick(60_000)).toEqual([]);
  });

  it.each(['insufficient_quota', 'invalid_api_key', 'account_deactivated', 'billing_hard_limit_reached'])(
    'ends the call at once for %s',
    (code) => {
      expect(new Replies('').done(failed('r1', code), 0)).toEqual([end('response failed', code)]);
    },
  );
});

describe('a response that the caller spoke over', () => {
  it('is interrupted, and the next is not', () => {
    const replies = new Replies('');
    replies.created('r1');
    replies.speechStarted();
    replies.created('r2');
    expect(replies.isInterrupted('r1')).toBe(true);
    expect(replies.isInterrupted('r2')).toBe(false);
  });

  it('is remembered, though no more than 100 are', () => {
    const replies = new Replies('');
    for (let n = 0; n <= 100; n++) {
      replies.created(`r${n}`);
      replies.speechStarted();
    }
    expect(replies.isInterrupted('r0')).toBe(false);
    expect(replies.isInterrupted('r1')).toBe(true);
  });
});

describe('a caller who waits to hear something', () => {
  it('is not left waiting for more than 15 s after speaking', () => {
    const replies = new Replies('');
    replies.speechStopped(1000);
    replies.created('r');
    expect(replies.tick(15_999)).toEqual([]);
    expect(replies.tick(16_000)).toEqual([end('no reply')]);
  });

  it('is not left waiting for more than 15 s for the greeting', () => {
    const replies = new Replies('Say hello.');
    replies.sessionReady(0);
    expect(replies.tick(15_000)).toEqual([end('no reply')]);
  });

  it('waits no longer once there is sound, and the wait for a reply is told', () => {
    const replies = new Replies('Say hello.');
    replies.sessionReady(0);
    expect(replies.heard('r0', 500)).toBeUndefined();
    expect(replies.tick(60_000)).toEqual([]);
    replies.speechStopped(60_000);
    expect(replies.heard('r1', 60_700)).toBe(700);
    expect(replies.heard('r1', 60_800)).toBeUndefined();
  });

  it('does not wait while speaking again', () => {
    const replies = new Replies('');
    replies.speechStopped(60_000);
    replies.speechStarted();
    expect(replies.tick(90_000)).toEqual([]);
  });

  it('waits on, though a response failed meanwhile', () => {
    const replies = new Replies('');
    replies.speechStopped(0);
    replies.done(failed('r'), 14_000);
    expect(replies.tick(15_000)).toEqual([end('no reply')]);
  });
});
