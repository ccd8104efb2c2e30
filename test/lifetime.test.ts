import { once } from 'node:events';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { FakeOpenAI, readyCall } from './support/peers.ts';
import { TestServer } from './support/server.ts';
import { audio } from './support/wire.ts';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  vi.useRealTimers();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function listen(): Promise<FakeOpenAI> {
  const openai = await FakeOpenAI.listen();
  cleanups.push(() => openai.close());
  return openai;
}

describe('a peer that is gone without a word', () => {
  /** A call whose time is in the test's hands, and whose sides have been quiet for 0 s. */
  async function quietCall() {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    const openai = await listen();
    const server = await TestServer.start({ OPENAI_REALTIME_URL: openai.url });
    cleanups.push(() => server.app.close());
    const call = await readyCall(openai, server.origin);
    // One check takes in what has come so far.
    vi.advanceTimersByTime(5_000);
    return { server, ...call };
  }

  /** Passes time, with a pong answered by both ends each time that they are pinged. */
  async function passWithPongs(seconds: number, ...peers: WebSocket[]): Promise<void> {
    for (let passed = 0; passed < seconds; passed += 20) {
      const pings = peers.map((peer) => once(peer, 'ping'));
      vi.advanceTimersByTime(20_000);
      await Promise.all(pings);
      // The pong is on its way: a ping of the peer's own comes back after it was read.
      await Promise.all(peers.map((peer) => once(peer.ping() ?? peer, 'pong')));
    }
  }

  it('is pinged every 20 s on either side, and a pong keeps the call alive, though no frames come', async () => {
    const { server, twilio, session } = await quietCall();
    await passWithPongs(200, twilio.socket, session.socket);
    expect(server.calls.live).toBe(1);
  });

  it.each(['twilio', 'openai'] as const)(
    'ends the call when nothing comes from %s for 60 s',
    async (side) => {
      const { server, twilio, session } = await quietCall();
      const silent = side === 'twilio' ? twilio : session;
      const other = side === 'twilio' ? session : twilio;
      silent.socket.pause();
      await passWithPongs(40, other.socket);
      expect(server.calls.live).toBe(1);
      vi.advanceTimersByTime(25_000);
      expect(server.calls.live).toBe(0);
      expect(await server.log.find('call failed')).toMatchObject({ reason: `${side} silent` });
      silent.socket.terminate();
    },
  );

  it('is cut off when it does not finish its close within 2 s', async () => {
    const { server, twilio, session } = await quietCall();
    session.socket.pause();
    twilio.stop();
    await twilio.closed;
    vi.advanceTimersByTime(2_000);
    expect(await server.log.find('call ended')).toMatchObject({ openai: { code: 1006 } });
    session.socket.terminate();
  });
});

describe('a peer that stops reading', () => {
  it('ends the call with 1013 when it is Twilio, at the cost of 1 MiB', async () => {
    const openai = await listen();
    const server = await TestServer.start({ OPENAI_REALTIME_URL: openai.url });
    cleanups.push(() => server.app.close());
    const { twilio, session } = await readyCall(openai, server.origin);
    twilio.socket.pause();
    for (let n = 0; n < 3_000; n++) session.say(400);
    expect(await server.log.find('call failed')).toMatchObject({ reason: 'twilio stalled' });
    await session.closed;
    twilio.socket.resume();
    expect((await twilio.closed).code).toBe(1013);
  });

  it('ends the call when it is OpenAI', async () => {
    const openai = await listen();
    const server = await TestServer.start({ OPENAI_REALTIME_URL: openai.url });
    cleanups.push(() => server.app.close());
    const { twilio, session } = await readyCall(openai, server.origin);
    session.socket.pause();
    for (let n = 0; n < 3_000; n++) twilio.media(n * 400, audio(400));
    expect((await twilio.closed).code).toBe(1013);
    expect(await server.log.find('call failed')).toMatchObject({ reason: 'openai stalled' });
    session.socket.terminate();
  });
});
