import { once } from 'node:events';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { liveCall } from './support/call.ts';
import { audio } from './support/wire.ts';

afterEach(() => {
  vi.useRealTimers();
});

describe('a peer that is gone without a word', () => {
  /** A call whose time is in the test's hands, and whose sides have been quiet for 0 s. */
  async function quietCall() {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    const call = await liveCall();
    // One check takes in what has come so far.
    vi.advanceTimersByTime(5_000);
    return call;
  }

  /** Passes time, with a pong returned by each of these peers whenever it is pinged. */
  async function passWithPongs(seconds: number, ...peers: WebSocket[]): Promise<void> {
    for (let passed = 0; passed < seconds; passed += 20) {
      const pings = peers.map((peer) => once(peer, 'ping'));
      vi.advanceTimersByTime(20_000);
      await Promise.all(pings);
      // The pong is on its way: a ping of the peer's own comes back after it was read.
      await Promise.all(peers.map((peer) => once(peer.ping() ?? peer, 'pong')));
    }
  }

  it('Both sides are pinged every 20 s, and their pongs keep a call alive in which no frames come', async () => {
    const { server, twilio, session } = await quietCall();
    await passWithPongs(200, twilio.socket, session.socket);
    expect(server.calls.live).toBe(1);
  });

  it.each(['twilio', 'openai'] as const)(
    'The call ends when nothing has come from %s for 60 s',
    async (side) => {
      const { server, twilio, session } = await quietCall();
      const [silent, other] = side === 'twilio' ? [twilio, session] : [session, twilio];
      silent.socket.pause();
      await passWithPongs(40, other.socket);
      expect(server.calls.live).toBe(1);
      vi.advanceTimersByTime(25_000);
      expect(server.calls.live).toBe(0);
      expect(await server.log.find('call failed')).toMatchObject({ reason: `${side} silent` });
      silent.socket.terminate();
    },
  );

  it('A peer that does not finish its close within 2 s is cut off', async () => {
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
  it('The call ends with 1013 when Twilio stops reading', async () => {
    const { server, twilio, session } = await liveCall();
    twilio.socket.pause();
    for (let n = 0; n < 3_000; n++) session.say(400);
    expect(await server.log.find('call failed')).toMatchObject({ reason: 'twilio stalled' });
    await session.closed;
    twilio.socket.resume();
    expect((await twilio.closed).code).toBe(1013);
  });

  it('The call ends with 1013 when OpenAI stops reading', async () => {
    // Without the ticks at which a flood would be noticed first.
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const { server, twilio, session } = await liveCall();
    session.socket.pause();
    for (let n = 0; n < 3_000; n++) twilio.media(n * 400, audio(400));
    expect((await twilio.closed).code).toBe(1013);
    expect(await server.log.find('call failed')).toMatchObject({ reason: 'openai stalled' });
    session.socket.terminate();
  });
});
