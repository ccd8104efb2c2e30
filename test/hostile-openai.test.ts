import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { dialStream, FakeOpenAI, type OpenAIPeer, readyCall, type TwilioPeer } from './support/peers.ts';
import { TestServer } from './support/server.ts';

let openai: FakeOpenAI;
let server: TestServer;

beforeEach(async () => {
  openai = await FakeOpenAI.listen();
  server = await TestServer.start({ OPENAI_REALTIME_URL: openai.url });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
});

afterEach(async () => {
  vi.useRealTimers();
  await server.app.close();
  await openai.close();
});

async function dialledCall(): Promise<{ twilio: TwilioPeer; session: OpenAIPeer }> {
  const twilio = await dialStream(server.origin);
  twilio.start();
  return { twilio, session: await openai.dialled() };
}

describe('an OpenAI that is hostile or broken', () => {
  it('OpenAI cannot put off the end of a session that it refuses by refusing it again and again', async () => {
    const { twilio, session } = await dialledCall();
    for (const wait of [400, 100]) {
      session.send({ type: 'error', error: { code: 'odd', message: 'Something odd.' } });
      await session.settle();
      vi.advanceTimersByTime(wait);
    }
    await twilio.closed;
    expect(await server.log.find('call failed')).toMatchObject({ reason: 'openai error' });
  });

  it('An OpenAI that talks for a minute but reads nothing is taken for silent', async () => {
    const { twilio, session } = await readyCall(openai, server.origin);
    session.socket.pause();
    for (let passed = 0; passed < 54; passed += 3) {
      session.socket.ping('its own');
      session.socket.pong('unasked');
      session.say(20, `r${passed}`);
      await twilio.next('mark');
      twilio.media(passed * 1_000);
      vi.advanceTimersByTime(3_000);
    }
    const taken = 'another session takes over from one that failed';
    expect(await server.log.find(taken)).toMatchObject({ reason: 'openai silent' });
    session.socket.terminate();
  });

  it('A session id of more than 200 characters is not read', async () => {
    const { twilio, session } = await dialledCall();
    session.send({ type: 'session.created', session: { id: 's'.repeat(201) } });
    await session.settle();
    vi.advanceTimersByTime(10_000);
    await twilio.closed;
    expect(server.log.text).not.toContain('sss');
  });
});
