import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { dialStream, FakeOpenAI, type OpenAIPeer } from './support/peers.ts';
import { TestServer } from './support/server.ts';

let openai: FakeOpenAI;
let server: TestServer;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] });
  openai = await FakeOpenAI.listen();
});

afterEach(async () => {
  vi.useRealTimers();
  await server.app.close();
  await openai.close();
});

/** A server with a standby session that is ready. */
async function withStandby(env: Record<string, string> = {}): Promise<OpenAIPeer> {
  server = await TestServer.start({ OPENAI_REALTIME_URL: openai.url, STANDBY_SESSIONS: '1', ...env });
  const standby = await openai.dialled();
  await standby.configure();
  return standby;
}

async function call(callSid = 'CA1') {
  const twilio = await dialStream(server.origin);
  twilio.start(callSid);
  return twilio;
}

describe('a standby session', () => {
  it('is dialled and configured before any call, and hears nothing else', async () => {
    const standby = await withStandby();
    await standby.settle();
    expect(standby.received.map(({ type }) => type)).toEqual(['session.update']);
  });

  it('serves the next call at once, and another is dialled in its place', async () => {
    const standby = await withStandby();
    await standby.settle();
    const twilio = await call();
    twilio.media(0);
    await standby.next('response.create');
    await standby.next('input_audio_buffer.append');
    standby.say(100);
    await twilio.next('media');
    await (await openai.dialled()).configure();
  });

  it('is waited for by no call while it is not ready: that call dials for itself', async () => {
    server = await TestServer.start({ OPENAI_REALTIME_URL: openai.url, STANDBY_SESSIONS: '1' });
    const standby = await openai.dialled();
    const twilio = await call();
    const own = await openai.dialled();
    await own.configure();
    await own.next('response.create');
    await standby.configure();
    await standby.settle();
    expect(standby.received.map(({ type }) => type)).toEqual(['session.update']);
    twilio.stop();
  });

  it('is one of as many as are set', async () => {
    server = await TestServer.start({ OPENAI_REALTIME_URL: openai.url, STANDBY_SESSIONS: '3' });
    for (const session of [await openai.dialled(), await openai.dialled(), await openai.dialled()]) {
      await session.configure();
      await session.settle();
    }
    expect(openai.peers).toHaveLength(3);
  });

  it('is none where none are wanted', async () => {
    server = await TestServer.start({ OPENAI_REALTIME_URL: openai.url, STANDBY_SESSIONS: '0' });
    await call();
    await openai.dialled();
    expect(openai.peers).toHaveLength(1);
  });

  it('is hung up with the server', async () => {
    const standby = await withStandby();
    await server.app.close();
    expect((await standby.closed).code).toBe(1000);
    expect(openai.peers).toHaveLength(1);
  });
});

describe('a standby session that dies as it is taken', () => {
  it('costs the caller nothing but the time to dial another', async () => {
    const standby = await withStandby();
    await standby.settle();
    const twilio = await call();
    await standby.next('response.create');
    const next = await openai.dialled();
    standby.socket.terminate();
    const own = await openai.dialled();
    twilio.media(0);
    await own.configure();
    await own.next('response.create');
    await own.next('input_audio_buffer.append');
    await next.configure();
    twilio.stop();
    expect(await server.log.find('call ended')).toMatchObject({ reason: 'twilio stopped', retries: 1 });
  });

  it.each([
    ['closes with 1001', (standby: OpenAIPeer) => standby.socket.close(1001, 'going away')],
    ['closes without a code', (standby: OpenAIPeer) => standby.socket.close()],
  ])('costs no more when it %s', async (_, leave) => {
    const standby = await withStandby();
    await standby.settle();
    const twilio = await call();
    await standby.next('response.create');
    await (await openai.dialled()).configure();
    leave(standby);
    const own = await openai.dialled();
    await own.configure();
    await own.next('response.create');
    own.say(100);
    await twilio.next('media');
    twilio.stop();
    expect(await server.log.find('call ended')).toMatchObject({ reason: 'twilio stopped', retries: 1 });
  });

  it('ends the call when OpenAI says that the key is to blame', async () => {
    const standby = await withStandby();
    await standby.settle();
    const twilio = await call();
    await standby.next('response.create');
    standby.socket.close(3000, 'invalid_request_error.invalid_api_key');
    await twilio.closed;
    expect(await server.log.find('call failed')).toMatchObject({ closed: { code: 3000 } });
  });

  it('loses nothing of what was counted on it', async () => {
    const standby = await withStandby();
    await standby.settle();
    const twilio = await call();
    await standby.next('response.create');
    standby.socket.send('not an event');
    standby.socket.terminate();
    await openai.dialled();
    const own = await openai.dialled();
    await own.configure();
    await own.next('response.create');
    twilio.stop();
    expect(await server.log.find('call ended')).toMatchObject({ retries: 1, ignored: { openai: 1 } });
  });

  it('costs no more when all the others have died with it', async () => {
    const standby = await withStandby({ STANDBY_SESSIONS: '2' });
    const other = await openai.dialled();
    await other.configure();
    await standby.settle();
    await other.settle();
    const twilio = await call();
    await standby.next('response.create');
    const next = await openai.dialled();
    standby.socket.terminate();
    const own = await openai.dialled();
    other.socket.terminate();
    await own.configure();
    await own.next('response.create');
    next.socket.terminate();
    twilio.stop();
    expect(await server.log.find('call ended')).toMatchObject({ reason: 'twilio stopped', retries: 1 });
  });

  it('is not made up for once it has served', async () => {
    const standby = await withStandby();
    await standby.settle();
    const twilio = await call();
    await standby.next('response.create');
    standby.say(100);
    await twilio.next('mark');
    standby.socket.terminate();
    await twilio.closed;
    expect(await server.log.find('call failed')).toMatchObject({ reason: 'openai closed' });
  });
});

describe('a standby session is replaced', () => {
  it.each([
    ['closes', (standby: OpenAIPeer) => standby.socket.close(1001)],
    ['is reset', (standby: OpenAIPeer) => standby.socket.terminate()],
    [
      'has an error',
      (standby: OpenAIPeer) => standby.send({ type: 'error', error: { code: 'session_expired' } }),
    ],
  ])('after a second when it %s, and after longer when the next one fails, too', async (_, fail) => {
    const standby = await withStandby();
    await standby.settle();
    for (const delay of [1_000, 2_000, 4_000]) {
      const current = openai.peers.at(-1);
      if (current === undefined) throw new Error('no session');
      fail(current);
      await server.log.find('standby session failed');
      server.log.lines.splice(0);
      vi.advanceTimersByTime(delay - 1);
      await settleServer();
      expect(openai.peers.at(-1)).toBe(current);
      vi.advanceTimersByTime(1);
      const next = await openai.dialled();
      await next.configure();
      await next.settle();
    }
  });

  it('at once when it had done well for a minute', async () => {
    const standby = await withStandby();
    await standby.settle();
    vi.advanceTimersByTime(60_000);
    standby.socket.close(1001);
    await openai.dialled();
  });

  it.each([0, 4_102_444_800, 1e300])('in its time, when it says that it expires at %d', async (expiresAt) => {
    server = await TestServer.start({ OPENAI_REALTIME_URL: openai.url, STANDBY_SESSIONS: '1' });
    const standby = await openai.dialled();
    standby.sessionExpiresAt = expiresAt;
    await standby.configure();
    await standby.settle();
    vi.advanceTimersByTime(59_000);
    await standby.settle();
    expect(openai.peers).toHaveLength(1);
  });

  it('when what is left of it would not do for a whole call', async () => {
    server = await TestServer.start({
      OPENAI_REALTIME_URL: openai.url,
      STANDBY_SESSIONS: '1',
      MAX_CALL_SECONDS: '3000',
    });
    const standby = await openai.dialled();
    standby.sessionExpiresAt = Math.floor(Date.now() / 1000) + 3600;
    await standby.configure();
    await standby.settle();
    vi.advanceTimersByTime(599_000);
    await standby.settle();
    expect(openai.peers).toHaveLength(1);
    vi.advanceTimersByTime(2_000);
    expect((await standby.closed).code).toBe(1000);
    await openai.dialled();
  });
});

describe('a key that OpenAI refuses', () => {
  it('is in the log before the first caller finds out', async () => {
    server = await TestServer.start({ OPENAI_REALTIME_URL: openai.url, STANDBY_SESSIONS: '1' });
    const standby = await openai.dialled();
    standby.send({
      type: 'error',
      error: { code: 'invalid_api_key', message: 'Incorrect API key provided.' },
    });
    standby.socket.close(3000, 'invalid_request_error.invalid_api_key');
    expect(await server.log.find('standby session failed')).toMatchObject({
      level: 50,
      error: { code: 'invalid_api_key' },
    });
    expect(server.log.lines.map(({ msg }) => msg)).toContainEqual(expect.stringContaining('OPENAI_API_KEY'));
  });
});

/** Gives the server the time to have dialled, if it wanted to: a dial takes one round trip, this takes some more. */
async function settleServer(): Promise<void> {
  for (let n = 0; n < 5; n++) await (await fetch(server.origin)).text();
}
