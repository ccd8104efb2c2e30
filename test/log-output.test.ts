import { EventEmitter } from 'node:events';
import { Writable } from 'node:stream';
import type { FastifyBaseLogger } from 'fastify';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { describeThrown, LogOutput, ThrottledLog } from '../src/log.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A stream that writes nothing before `release` is called. */
function output() {
  const written: string[] = [];
  const waiting: ((error?: Error) => void)[] = [];
  const stream = new Writable({
    decodeStrings: false,
    write(chunk, _encoding, done) {
      written.push(chunk);
      waiting.push(done);
    },
  });
  const release = (error?: Error) => {
    for (let done = waiting.shift(); done !== undefined; done = waiting.shift()) done(error);
  };
  return { stream, written, release };
}

describe('LogOutput', () => {
  it('drops lines while 1 MiB waits, and then says how many', () => {
    const { stream, written, release } = output();
    const log = new LogOutput(stream);
    log.write('x'.repeat(1_048_577));
    log.write('dropped\n');
    log.write('dropped\n');
    release();
    log.write('on again\n');
    log.write('and on\n');
    release();
    expect(written.slice(1)).toEqual([
      expect.stringMatching(/"lines":2,"msg":"log lines dropped"/),
      'on again\n',
      'and on\n',
    ]);
  });

  it('counts the lines that a full disk rejects until it can write again', () => {
    let hasRoom = false;
    const written: string[] = [];
    const disk = Object.assign(new EventEmitter(), {
      writableLength: 0,
      write(text: string, done: (error?: Error) => void) {
        if (hasRoom) written.push(text);
        done(hasRoom ? undefined : new Error('ENOSPC: no space left on device'));
      },
    });
    const log = new LogOutput(disk as unknown as Writable);
    for (let n = 0; n < 50; n++) log.write('lost\n');
    hasRoom = true;
    log.write('on again\n');
    log.write('and on\n');
    expect(written).toEqual([expect.stringMatching(/"lines":50,/), 'on again\n', 'and on\n']);
  });

  it('flushes all that was written', async () => {
    const { stream, release } = output();
    const log = new LogOutput(stream);
    log.write('last words\n');
    const flushed = log.flush();
    release();
    await flushed;
  });

  it('flushes for a second at most', async () => {
    const { stream } = output();
    const log = new LogOutput(stream);
    log.write('unread\n');
    const flushed = log.flush();
    vi.advanceTimersByTime(1_000);
    await flushed;
  });
});

describe('ThrottledLog', () => {
  function throttled() {
    const warn = vi.fn();
    return { warn, log: new ThrottledLog({ warn } as unknown as FastifyBaseLogger) };
  }

  it('logs a kind at once, then once a second with the count and the last of them', () => {
    const { warn, log } = throttled();
    for (let n = 1; n <= 5; n++) log.warn(() => ({ n }), 'refused');
    expect(warn.mock.calls).toEqual([[{ n: 1 }, 'refused']]);
    vi.advanceTimersByTime(1_000);
    expect(warn.mock.calls.slice(1)).toEqual([[{ n: 5, times: 4 }, 'refused']]);
    log.warn(() => ({ n: 6 }), 'refused');
    vi.advanceTimersByTime(1_000);
    expect(warn.mock.calls.slice(2)).toEqual([[{ n: 6, times: 1 }, 'refused']]);
  });

  it('logs at once if the last of the kind was a second ago', () => {
    const { warn, log } = throttled();
    log.warn(() => ({ n: 1 }), 'refused');
    vi.advanceTimersByTime(1_000);
    log.warn(() => ({ n: 2 }), 'refused');
    expect(warn).toHaveBeenCalledTimes(2);
  });

  it('throttles each kind by itself', () => {
    const { warn, log } = throttled();
    log.warn(() => ({}), 'refused');
    log.warn(() => ({}), 'rejected');
    expect(warn).toHaveBeenCalledTimes(2);
  });
});

describe('What is logged of a thrown value', () => {
  it('is its name, its message, its frames and two causes', () => {
    const cause = (depth: number): Error =>
      Object.assign(new TypeError(`no ${depth}`, depth < 4 ? { cause: cause(depth + 1) } : {}), {
        config: { headers: { Authorization: 'Bearer secret' } },
      });
    const stack = expect.stringMatching(/^ +at .+:\d+/);
    const named = (message: string) => ({ type: 'TypeError', message, stack });
    expect(describeThrown(cause(1))).toEqual({
      ...named('no 1'),
      cause: { ...named('no 2'), cause: named('no 3') },
    });
  });

  it('is 500 characters of a message, which the stack does not repeat', () => {
    const described = describeThrown(new Error(`${'x'.repeat(500)}\n    at secret`));
    expect(described).toMatchObject({ message: `${'x'.repeat(500)}…` });
    expect(JSON.stringify(described)).not.toContain('secret');
  });

  it('is each part of an AggregateError, four at most', () => {
    const parts = [1, 2, 3, 4, 5].map((n) => new Error(`no ${n}`));
    const errors = [1, 2, 3, 4].map((n) => expect.objectContaining({ message: `no ${n}` }));
    expect(describeThrown(new AggregateError(parts, 'all'))).toMatchObject({ message: 'all', errors });
  });

  const fails = () => {
    throw new Error('trap');
  };
  const cycle = new Error('cycle');
  cycle.cause = cycle;
  it.each<[string, unknown, object]>([
    ['a frozen error', Object.freeze(new Error('cold')), { type: 'Error', message: 'cold' }],
    [
      'a getter that throws',
      Object.defineProperty(new Error('got'), 'stack', { get: fails }),
      { message: 'got' },
    ],
    ['a Proxy', new Proxy({}, { get: fails, getPrototypeOf: fails, ownKeys: fails }), { type: 'object' }],
    ['a cycle of causes', cycle, { cause: { cause: { message: 'cycle' } } }],
    ['a text', 'no\n', { type: 'string', message: 'no\\u{a}' }],
    ['a symbol', Symbol('no'), { message: 'Symbol(no)' }],
    ['an object', { message: 7, code: 1 }, { type: 'object', message: '' }],
    ['nothing', undefined, { type: 'undefined', message: 'undefined' }],
  ])('covers %s', (_, thrown, described) => {
    expect(describeThrown(thrown)).toMatchObject(described);
  });
});
