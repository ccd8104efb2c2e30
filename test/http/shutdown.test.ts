import { once } from 'node:events';
import { createServer } from 'node:http';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Calls } from '../../src/call/calls.ts';
import { type Stream, Streams } from '../../src/call/streams.ts';
import type { Reason } from '../../src/failure.ts';
import { shutDown } from '../../src/http/shutdown.ts';

// Node's own promises of timers can't be faked.
vi.mock('node:timers/promises', () => ({
  setTimeout: (ms: number, value: unknown) => new Promise((resolve) => void setTimeout(resolve, ms, value)),
}));

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A server that was told to stop a moment ago, and how far it is. */
async function stopping(graceMs: number | undefined, calls = new Calls(2), streams = new Streams()) {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  const progress = { isOver: false };
  void shutDown(server, calls, streams, graceMs).then(() => {
    progress.isOver = true;
  });
  return { server, calls, streams, progress };
}

/** A stream that notes how it is ended. */
function stream(hasStarted: boolean): Stream & { ends: string[] } {
  const ends: string[] = [];
  const note = (how: string) => (reason: Reason) => void ends.push(`${how} ${reason}`);
  return { ends, hasStarted, tick: () => {}, end: note('end'), conclude: note('conclude') };
}

describe('a server that is told to stop', () => {
  it('It takes no new call from the first moment, and is gone after a second where there is none', async () => {
    const { server, calls, progress } = await stopping(30_000);
    expect(calls.isClosing).toBe(true);
    await vi.advanceTimersByTimeAsync(999);
    expect(server.listening).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    await vi.waitFor(() => expect(progress.isOver).toBe(true));
    expect(server.listening).toBe(false);
  });

  it('It answers for as long as a call goes on, up to the grace', async () => {
    const calls = new Calls(2);
    calls.begin('CA1');
    const { server, progress } = await stopping(30_000, calls);
    await vi.advanceTimersByTimeAsync(29_000);
    expect(server.listening).toBe(true);
    calls.end('CA1', undefined);
    await vi.advanceTimersByTimeAsync(100);
    await vi.waitFor(() => expect(progress.isOver).toBe(true));
  });

  it('A stream whose call another process answered is waited for', async () => {
    const streams = new Streams();
    const open = stream(false);
    streams.add(open);
    const { server } = await stopping(30_000, new Calls(2), streams);
    await vi.advanceTimersByTimeAsync(29_000);
    expect(server.listening).toBe(true);
    expect(open.ends).toEqual([]);
  });

  it('After the grace, calls end with a word of the assistant, and are waited for', async () => {
    const calls = new Calls(2);
    const streams = new Streams();
    const [started, waiting] = [stream(true), stream(false)];
    calls.begin('CA1');
    streams.add(started);
    streams.add(waiting);
    const { progress } = await stopping(5_000, calls, streams);
    await vi.advanceTimersByTimeAsync(5_100);
    expect([started.ends, waiting.ends]).toEqual([['conclude shutdown'], ['conclude shutdown']]);
    expect(streams.isShut).toBe(true);
    await vi.advanceTimersByTimeAsync(9_000);
    expect(progress.isOver).toBe(false);
    calls.end('CA1', undefined);
    streams.remove(started);
    streams.remove(waiting);
    await vi.advanceTimersByTimeAsync(100);
    await vi.waitFor(() => expect(progress.isOver).toBe(true));
  });

  it('A stream that comes while the last one is logged has what is left of the grace, and no more', async () => {
    const streams = new Streams();
    const [last, late] = [stream(true), stream(true)];
    streams.add(last);
    await stopping(30_000, new Calls(2), streams);
    await vi.advanceTimersByTimeAsync(2_000);
    streams.add(late);
    streams.remove(last);
    await vi.advanceTimersByTimeAsync(27_000);
    expect(late.ends).toEqual([]);
    await vi.advanceTimersByTimeAsync(1_100);
    expect(late.ends).toEqual(['conclude shutdown']);
  });

  it('Without a grace, calls end at once', async () => {
    const calls = new Calls(2);
    const streams = new Streams();
    const started = stream(true);
    calls.begin('CA1');
    streams.add(started);
    await stopping(undefined, calls, streams);
    await vi.advanceTimersByTimeAsync(1);
    expect(started.ends).toEqual(['end shutdown']);
  });
});
