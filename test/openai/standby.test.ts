import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startServer } from '../support/call.ts';
import { dialStream, type FakeOpenAI, type OpenAIPeer, type TwilioPeer } from '../support/peers.ts';
import type { TestServer } from '../support/server.ts';

let openai: FakeOpenAI;
let server: TestServer;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] });
});

afterEach(() => {
  vi.useRealTimers();
});

/** The standby session of a new server, after its dial. */
async function dialledStandby(env: Record<string, string> = {}): Promise<OpenAIPeer> {
  ({ openai, server } = await startServer({ STANDBY_SESSIONS: '1', ...env }));
  return openai.dialled();
}

/** The standby session of a new server, when it is ready. */
async function readyStandby(env: Record<string, string> = {}): Promise<OpenAIPeer> {
  const standby = await dialledStandby(env);
  await makeReady(standby);
  return standby;
}

async function makeReady(session: OpenAIPeer): Promise<void> {
  await session.configure();
  await session.settle();
}

async function call(): Promise<TwilioPeer> {
  const twilio = await dialStream(server.origin);
  twilio.start();
  return twilio;
}

/** A call with the standby session, and the next standby session. */
async function takenStandby(env: Record<string, string> = {}) {
  const standby = await readyStandby(env);
  const twilio = await call();
  await standby.next('response.create');
  return { standby, twilio, next: await openai.dialled() };
}

/** Expects that the call goes on with the session `own`. */
async function expectMadeUpFor(twilio: TwilioPeer, own: OpenAIPeer) {
  twilio.media(0);
  await own.configure();
  await own.next('response.create');
  await own.next('input_audio_buffer.append');
  own.say(100);
  await twilio.next('media');
  twilio.stop();
  const end = await server.log.find('call ended');
  expect(end).toMatchObject({ reason: 'twilio stopped', takeovers: 1 });
  return end;
}

describe('A standby session', () => {
  it('is dialled and configured before any call', async () => {
    const standby = await readyStandby();
    expect(standby.received.map(({ type }) => type)).toEqual(['session.update']);
  });

  it('serves the next call at once, and another is dialled', async () => {
    const { standby, twilio, next } = await takenStandby();
    twilio.media(0);
    await standby.next('input_audio_buffer.append');
    standby.say(100);
    await twilio.next('media');
    await next.configure();
  });

  it('is not awaited: a call dials for itself', async () => {
    const standby = await dialledStandby();
    await call();
    const own = await openai.dialled();
    await own.configure();
    await own.next('response.create');
    await makeReady(standby);
    expect(standby.received.map(({ type }) => type)).toEqual(['session.update']);
  });

  it('is one of as many as STANDBY_SESSIONS says', async () => {
    await makeReady(await dialledStandby({ STANDBY_SESSIONS: '3' }));
    await makeReady(await openai.dialled());
    await makeReady(await openai.dialled());
    await letServerDial();
    expect(openai.handshakes).toBe(3);
  });

  it('is not dialled if STANDBY_SESSIONS is 0', async () => {
    ({ openai, server } = await startServer({ STANDBY_SESSIONS: '0' }));
    await call();
    await openai.dialled();
    await letServerDial();
    expect(openai.handshakes).toBe(1);
  });

  it('is closed with the server', async () => {
    const standby = await readyStandby();
    await server.app.close();
    expect((await standby.closed).code).toBe(1000);
    expect(openai.handshakes).toBe(1);
  });
});

describe('A standby session that dies as it is taken', () => {
  it('is replaced by another, and its counts are kept', async () => {
    const { standby, twilio } = await takenStandby();
    standby.socket.send('not an event');
    standby.socket.terminate();
    expect(await expectMadeUpFor(twilio, await openai.dialled())).toMatchObject({ ignored: { openai: 1 } });
  });

  it('ends the call if OpenAI rejects its key', async () => {
    const { standby, twilio } = await takenStandby();
    standby.socket.close(3000, 'invalid_request_error.invalid_api_key');
    await twilio.closed;
    expect(await server.log.find('call failed')).toMatchObject({ closed: { code: 3000 } });
  });

  it('is replaced by a new one if all others have died, too', async () => {
    const { standby, twilio, next: other } = await takenStandby({ STANDBY_SESSIONS: '2' });
    const next = await openai.dialled();
    standby.socket.terminate();
    const own = await openai.dialled();
    other.socket.terminate();
    next.socket.terminate();
    await expectMadeUpFor(twilio, own);
  });
});

describe('A standby session to be replaced', () => {
  it.each([
    ['closes', (standby: OpenAIPeer) => standby.socket.close(1001)],
    ['is reset', (standby: OpenAIPeer) => standby.socket.terminate()],
    [
      'has an error',
      (standby: OpenAIPeer) => standby.send({ type: 'error', error: { code: 'session_expired' } }),
    ],
  ])('that %s is redialled after a second, and the next after longer', async (_, fail) => {
    let standby = await readyStandby();
    for (const [n, delay] of [1_000, 2_000, 4_000].entries()) {
      fail(standby);
      await server.log.find('standby session failed');
      server.log.lines.splice(0);
      vi.advanceTimersByTime(delay - 1);
      await letServerDial();
      expect(openai.handshakes).toBe(n + 1);
      vi.advanceTimersByTime(1);
      standby = await openai.dialled();
      await makeReady(standby);
    }
  });

  it('is redialled when OpenAI says', async () => {
    const standby = await dialledStandby();
    const message = 'Rate limit reached. Please try again in 30s.';
    standby.send({ type: 'error', error: { code: 'rate_limit_exceeded', message } });
    standby.socket.close(4000);
    await server.log.find('standby session failed');
    vi.advanceTimersByTime(29_999);
    await letServerDial();
    expect(openai.handshakes).toBe(1);
    vi.advanceTimersByTime(1);
    await openai.dialled();
  });

  it('is redialled at once if it was ready for a minute', async () => {
    const standby = await readyStandby();
    vi.advanceTimersByTime(60_000);
    standby.socket.close(1001);
    await openai.dialled();
  });

  it.each([0, 4_102_444_800, 1e300])(
    'is kept for a minute though it says that it expires at %d',
    async (expiresAt) => {
      const standby = await dialledStandby();
      standby.sessionExpiresAt = expiresAt;
      await makeReady(standby);
      vi.advanceTimersByTime(59_000);
      await letServerDial();
      expect(openai.handshakes).toBe(1);
    },
  );

  it('is replaced when it has too little left for a whole call and a minute', async () => {
    const standby = await dialledStandby({ MAX_CALL_SECONDS: '3000' });
    standby.sessionExpiresAt = Math.floor(Date.now() / 1000) + 3600;
    await makeReady(standby);
    vi.advanceTimersByTime(539_000);
    await letServerDial();
    expect(openai.handshakes).toBe(1);
    vi.advanceTimersByTime(2_000);
    expect((await standby.closed).code).toBe(1000);
    await openai.dialled();
  });

  it('has a rejected key logged before the first caller', async () => {
    const standby = await dialledStandby();
    const error = { code: 'invalid_api_key', message: 'Incorrect API key provided.' };
    standby.send({ type: 'error', error });
    standby.socket.close(3000, 'invalid_request_error.invalid_api_key');
    expect(await server.log.find('standby session failed')).toMatchObject({ level: 50, error });
    expect(await server.log.find('standby session failed')).toMatchObject({
      advice: expect.stringContaining('OPENAI_API_KEY'),
    });
  });
});

/** Waits until a dial would have arrived: a few round trips. */
async function letServerDial(): Promise<void> {
  for (let n = 0; n < 5; n++) await (await fetch(server.origin)).text();
}
