import { once } from 'node:events';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { liveCall } from './support/call.ts';
import type { TestServer } from './support/server.ts';
import { audio } from './support/wire.ts';

afterEach(() => {
  vi.useRealTimers();
});

describe('A quiet peer', () => {
  /** A call with fake timers. */
  function quietCall() {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    return liveCall();
  }

  /** Advances the timers; OpenAI sends nothing but pongs. */
  async function pass(seconds: number, { server }: { server: TestServer }): Promise<void> {
    for (let passed = 0; passed < seconds; passed += 3) {
      vi.advanceTimersByTime(3_000);
      // A round trip, so that the pong has arrived.
      await fetch(server.origin);
    }
  }

  it('is pinged, and its pongs keep the call alive', async () => {
    const call = await quietCall();
    let pings = 0;
    call.session.socket.on('ping', () => {
      pings += 1;
    });
    for (let n = 0; n < 10; n++) {
      const ping = once(call.twilio.socket, 'ping');
      await pass(21, call);
      await ping;
      await call.twilio.settle();
    }
    expect(call.server.calls.live).toBe(1);
    expect(call.openai.handshakes).toBe(1);
    // A pong has come at every second check.
    expect(pings).toBeGreaterThanOrEqual(30);
  });

  it('ends the call after 60 s without a byte from Twilio', async () => {
    const call = await quietCall();
    call.twilio.socket.pause();
    await pass(51, call);
    expect(call.server.calls.live).toBe(1);
    vi.advanceTimersByTime(9_000);
    expect(await call.server.log.find('call failed')).toMatchObject({ reason: 'twilio silent' });
    call.twilio.socket.terminate();
  });

  it('loses its session if it talks but never reads', async () => {
    const { server, twilio, session } = await quietCall();
    session.socket.pause();
    for (let passed = 0; passed < 54; passed += 3) {
      session.socket.ping('its own');
      session.socket.pong('unasked');
      session.say(20, `r${passed}`);
      await twilio.next('mark');
      twilio.media(passed * 1_000);
      vi.advanceTimersByTime(3_000);
    }
    const taken = 'session failed, switching';
    expect(await server.log.find(taken)).toMatchObject({ reason: 'openai silent' });
    session.socket.terminate();
  });
});

describe('A stalled peer', () => {
  it('ends the call with 1013 if it is Twilio', async () => {
    const { server, twilio, session } = await liveCall();
    twilio.socket.pause();
    for (let n = 0; n < 3_000; n++) session.say(400);
    expect(await server.log.find('call failed')).toMatchObject({ reason: 'twilio stalled' });
    await session.closed;
    twilio.socket.resume();
    expect((await twilio.closed).code).toBe(1013);
  });

  it('loses its session if it is OpenAI', async () => {
    // No ticks: the flood detector would be first.
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const { server, openai, twilio, session } = await liveCall();
    session.socket.pause();
    for (let n = 0; n < 3_000; n++) twilio.media(n * 400, audio(400));
    await openai.dialled();
    expect(await server.log.find('session failed, switching')).toMatchObject({
      reason: 'openai stalled',
    });
    session.socket.terminate();
  });
});
