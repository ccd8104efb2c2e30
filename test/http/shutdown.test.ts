import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { liveCall, startServer } from '../support/call.ts';
import { dialStream } from '../support/peers.ts';
import { ring } from '../support/ring.ts';
import type { TestServer } from '../support/server.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Tells the server to stop; `isOver` says whether it has. */
function stop(server: TestServer, graceMs: number | undefined) {
  const progress = { isOver: false };
  void server.shutDown(graceMs).then(() => {
    progress.isOver = true;
  });
  return progress;
}

describe('A shutdown', () => {
  it('takes a second if there are no calls, and refuses new ones at once', async () => {
    const { server } = await startServer();
    const progress = stop(server, 30_000);
    expect(await ring(server)).toContain('<Redirect>');
    await vi.advanceTimersByTimeAsync(999);
    expect(server.app.server.listening).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    await vi.waitFor(() => expect(progress.isOver).toBe(true));
    expect(server.app.server.listening).toBe(false);
  });

  it('waits for a stream that has not started', async () => {
    const { server } = await startServer();
    await dialStream(server.origin);
    const progress = stop(server, 9_000);
    await vi.advanceTimersByTimeAsync(8_900);
    expect(progress.isOver).toBe(false);
  });

  it('has the log say why the last words failed', async () => {
    const { server, session } = await liveCall();
    stop(server, 0);
    await vi.advanceTimersByTimeAsync(250);
    await session.next('conversation.item.create');
    session.send({ type: 'error', error: { code: 'insufficient_quota', message: 'Quota exceeded' } });
    expect(await server.log.find('call failed')).toMatchObject({
      advice: expect.stringContaining('billing'),
    });
  });

  it('has the assistant say goodbye after the grace, and waits for that', async () => {
    const { server, session } = await liveCall();
    session.send({ type: 'response.created', response: { id: 'r0' } });
    session.send({ type: 'response.done', response: { id: 'r0', status: 'completed' } });
    await session.settle();
    const progress = stop(server, 5_000);
    await vi.advanceTimersByTimeAsync(5_000);
    await session.next('conversation.item.create');
    await vi.advanceTimersByTimeAsync(9_000);
    expect(progress.isOver).toBe(false);
    // A stream that comes now is not waited for.
    await dialStream(server.origin);
    await vi.advanceTimersByTimeAsync(1_300);
    await server.log.find('call ended');
    // A deployment is no failure that an operator must look at.
    expect(server.log.messages(({ level }) => Number(level) >= 50)).toEqual([]);
    await vi.advanceTimersByTimeAsync(2_000);
    await vi.waitFor(() => expect(progress.isOver).toBe(true));
  });

  it('ends calls at once without a grace', async () => {
    const { server, twilio } = await liveCall();
    stop(server, undefined);
    await vi.advanceTimersByTimeAsync(1);
    expect((await twilio.closed).code).toBe(1001);
  });
});
