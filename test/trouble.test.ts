import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import {
  CALL,
  dialStream,
  FakeOpenAI,
  type OpenAIPeer,
  readyCall as readyCallTo,
  type TwilioPeer,
} from './support/peers.ts';
import { portOf } from './support/port.ts';
import { TestServer } from './support/server.ts';
import { audio } from './support/wire.ts';

let server: TestServer;
let openai: { close(): Promise<void> };

afterEach(async () => {
  vi.useRealTimers();
  await server.app.close();
  await openai.close();
});

/** A call to a server whose OpenAI is at `url`. */
async function callTo(url: string): Promise<TwilioPeer> {
  server = await TestServer.start({ OPENAI_REALTIME_URL: url });
  const twilio = await dialStream(server.origin);
  twilio.start();
  return twilio;
}

/** A call to a server whose OpenAI refuses some handshakes, and leaves the rest to the test. */
async function dialledCall(
  ...refuse: Parameters<typeof FakeOpenAI.listen>
): Promise<{ fake: FakeOpenAI; twilio: TwilioPeer }> {
  const fake = await FakeOpenAI.listen(...refuse);
  openai = fake;
  return { fake, twilio: await callTo(fake.url) };
}

/** A call to a server whose session is ready, and left to the test. */
async function readyCall(
  env: Record<string, string> = {},
): Promise<{ session: OpenAIPeer; twilio: TwilioPeer }> {
  const fake = await FakeOpenAI.listen();
  openai = fake;
  server = await TestServer.start({ OPENAI_REALTIME_URL: fake.url, ...env });
  return readyCallTo(fake, server.origin);
}

async function expectApology(twilio: TwilioPeer): Promise<void> {
  await twilio.closed;
  expect(await server.lastWords(CALL)).toMatch(/<Say>I am sorry, something has gone wrong.*<Hangup\/>/);
}

describe('when OpenAI fails before the session is ready, the caller gets an apology', () => {
  it.each([
    ['a bad key', 3000, 'invalid_request_error.invalid_api_key', 'OPENAI_API_KEY'],
    ['a quota used up', 1013, 'insufficient_quota', 'quota'],
    ['a model unknown', 4004, 'invalid_request_error.model_not_found', 'OPENAI_REALTIME_MODEL'],
    ['a model unfit', 4000, 'invalid_request_error.invalid_model', 'OPENAI_REALTIME_MODEL'],
  ])('for %s, which is not dialled again, and the log says what to do', async (_, code, reason, advice) => {
    const { fake, twilio } = await dialledCall();
    const session = await fake.dialled();
    const error = {
      code: reason.split('.').at(-1),
      message: `Something about sk-proj-abc***xyz: ${reason}.`,
    };
    session.send({ type: 'error', error });
    session.socket.close(code, reason);
    await expectApology(twilio);
    expect(fake.handshakes).toBe(1);
    expect(await server.log.find('call failed')).toMatchObject({
      closed: { code },
      error: { code: error.code },
    });
    expect(server.log.lines.map(({ msg }) => msg)).toContainEqual(expect.stringContaining(advice));
    expect(server.log.text).not.toContain('sk-proj');
  });

  it.each([
    [401, 'OPENAI_API_KEY'],
    [403, 'OPENAI_API_KEY'],
    [429, 'quota'],
  ])('for a handshake answered with %d, which is not dialled again', async (status, advice) => {
    const { fake, twilio } = await dialledCall(() => status);
    await expectApology(twilio);
    expect(fake.handshakes).toBe(1);
    expect(await server.log.find('call failed')).toMatchObject({ httpStatus: status });
    expect(server.log.lines.map(({ msg }) => msg)).toContainEqual(expect.stringContaining(advice));
  });

  it('for a handshake answered with 503, when the second is no better', async () => {
    const { fake, twilio } = await dialledCall(() => 503);
    await expectApology(twilio);
    expect(fake.handshakes).toBe(2);
  });

  it('for an update that is rejected', async () => {
    const { fake, twilio } = await dialledCall();
    const session = await fake.dialled();
    await session.begin();
    session.send({ type: 'error', error: { code: 'invalid_value', message: 'no' } });
    await expectApology(twilio);
    expect(await server.log.find('call failed')).toMatchObject({ reason: 'session.update rejected' });
  });

  it('for a session that goes on in another format', async () => {
    const { fake, twilio } = await dialledCall();
    await (await fake.dialled()).configure('audio/pcm');
    await expectApology(twilio);
    expect(await server.log.find('call failed')).toMatchObject({ reason: 'session not audio/pcmu' });
  });

  it.each([
    ['never created', false],
    ['never updated', true],
  ])('for a session that is %s within 10 s', async (_, begins) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { fake, twilio } = await dialledCall();
    const session = await fake.dialled();
    if (begins) await session.begin();
    await server.log.find('call started');
    vi.advanceTimersByTime(10_000);
    await expectApology(twilio);
    expect(await server.log.find('call failed')).toMatchObject({ reason: 'not ready in time' });
  });
});

describe('when OpenAI leaves it at half, the caller gets an apology within a second', () => {
  it('for an error that no close follows', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { fake, twilio } = await dialledCall();
    const session = await fake.dialled();
    session.send({ type: 'error', error: { code: 'invalid_api_key', message: 'no' } });
    await session.settle();
    vi.advanceTimersByTime(500);
    await expectApology(twilio);
    expect(await server.log.find('call failed')).toMatchObject({ reason: 'openai error' });
  });

  it('for a close after which the connection stays open', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { session, twilio } = await readyCall();
    session.socket.pause();
    session.socket.close(1011, 'half gone');
    twilio.media(0);
    await vi.waitFor(() => {
      vi.advanceTimersByTime(100);
      expect(twilio.socket.readyState).not.toBe(WebSocket.OPEN);
    });
    await expectApology(twilio);
    expect(await server.log.find('call failed')).toMatchObject({
      closed: { code: 1011, reason: 'half gone' },
    });
    session.socket.terminate();
  });

  it('for a refusal whose text never ends', async () => {
    const trickling = createHttpServer();
    trickling.on('upgrade', (_request, socket) => {
      socket.on('error', () => {});
      socket.write('HTTP/1.1 401 Unauthorized\r\nContent-Length: 999\r\n\r\n{');
      const drip = setInterval(() => socket.write(' '), 100);
      socket.on('close', () => clearInterval(drip));
    });
    await once(trickling.listen(0, '127.0.0.1'), 'listening');
    openai = { close: async () => void trickling.close() };
    const twilio = await callTo(`ws://127.0.0.1:${portOf(trickling)}/`);
    await expectApology(twilio);
    expect(await server.log.find('call failed')).toMatchObject({ httpStatus: 401 });
  });
});

describe('a failure that may pass is dialled once more, and the caller notices nothing', () => {
  it.each([
    ['a 500', 500],
    ['a 503', 503],
    ['a handshake over 4 s', 'hang'],
  ] as const)(
    '%s',
    async (_, refusal) => {
      const { fake, twilio } = await dialledCall((handshake) => (handshake === 1 ? refusal : undefined));
      const session = await fake.dialled();
      await session.configure();
      session.say(100);
      await twilio.next('media');
      expect(fake.handshakes).toBe(2);
      twilio.stop();
      expect(await server.log.find('call ended')).toMatchObject({ reason: 'twilio stopped', retries: 1 });
    },
    10_000,
  );

  it('a connection that is reset', async () => {
    let connections = 0;
    const resetting: Server = createServer((socket) => {
      connections += 1;
      socket.resetAndDestroy();
    });
    await once(resetting.listen(0, '127.0.0.1'), 'listening');
    openai = { close: async () => void resetting.close() };
    const twilio = await callTo(`ws://127.0.0.1:${portOf(resetting)}/`);
    await expectApology(twilio);
    expect(connections).toBe(2);
  });

  it('a connection that is reset after its 101, and then no longer if the caller hangs up', async () => {
    const { fake, twilio } = await dialledCall();
    (await fake.dialled()).socket.terminate();
    const second = await fake.dialled();
    twilio.stop();
    await second.closed;
    expect(await server.log.find('call ended')).toMatchObject({ reason: 'twilio stopped', retries: 1 });
    expect(fake.peers).toHaveLength(2);
  });

  it('a connection that is refused', async () => {
    const fake = await FakeOpenAI.listen();
    const { url } = fake;
    await fake.close();
    openai = { close: async () => {} };
    const twilio = await callTo(url);
    await expectApology(twilio);
    expect(await server.log.find('dialling OpenAI once more')).toMatchObject({ closed: { code: 1006 } });
  });
});

describe('when OpenAI fails in mid-call, the caller gets an apology', () => {
  it.each([1000, 1001, 1005, 1011, 3000, 4000])('for a close with %d', async (code) => {
    const { session, twilio } = await readyCall();
    session.socket.close(code === 1005 ? undefined : code, code === 1005 ? undefined : 'the reason');
    await expectApology(twilio);
    const reason = code === 1005 ? '' : 'the reason';
    expect(await server.log.find('call failed')).toMatchObject({
      reason: 'openai closed',
      closed: { code, reason },
    });
  });

  it('for a connection that is reset', async () => {
    const { session, twilio } = await readyCall();
    session.socket.terminate();
    await expectApology(twilio);
  });

  it('for a session that has lasted 60 minutes', async () => {
    const { session, twilio } = await readyCall();
    const message = 'Your session hit the maximum duration of 60 minutes.';
    session.send({
      type: 'error',
      error: { type: 'invalid_request_error', code: 'session_expired', message },
    });
    session.socket.close(1001, message);
    await expectApology(twilio);
    expect(await server.log.find('call failed')).toMatchObject({
      error: { code: 'session_expired', message },
    });
  });

  it('for a response that fails twice in a row, though not for one that fails once', async () => {
    const { session, twilio } = await readyCall();
    const fail = (id: string) => {
      const status_details = { type: 'failed', error: { code: 'server_error', message: 'no' } };
      session.send({ type: 'response.done', response: { id, status: 'failed', status_details } });
    };
    fail('r1');
    expect(await session.next()).toMatchObject({ type: 'response.create' });
    fail('r2');
    await expectApology(twilio);
    expect(await server.log.find('call failed')).toMatchObject({
      reason: 'response failed',
      error: { message: 'no' },
    });
  });

  it('for a quota that is used up, at once', async () => {
    const { session, twilio } = await readyCall();
    const status_details = {
      type: 'failed',
      error: { code: 'insufficient_quota', message: 'You exceeded it.' },
    };
    session.send({ type: 'response.done', response: { id: 'r', status: 'failed', status_details } });
    await expectApology(twilio);
    expect(server.log.lines.map(({ msg }) => msg)).toContainEqual(
      expect.stringContaining('quota is used up'),
    );
  });

  it('for no reply within 15 s', async () => {
    vi.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'],
    });
    const { session, twilio } = await readyCall();
    session.say(100);
    await twilio.next('mark');
    session.send({ type: 'input_audio_buffer.speech_stopped' }, { type: 'error', error: { code: 'benign' } });
    await server.log.find('openai error');
    vi.advanceTimersByTime(15_250);
    await expectApology(twilio);
    expect(await server.log.find('call failed')).toMatchObject({ reason: 'no reply' });
  });
});

describe("when Twilio's stream is lost, the caller gets an apology, if still there", () => {
  it.each([
    ['reset', (twilio: TwilioPeer) => twilio.socket.terminate()],
    [
      'closed by us over a message of more than 64 KiB',
      (twilio: TwilioPeer) => twilio.media(0, audio(8_000)),
    ],
  ])('when it is %s', async (_, lose) => {
    const { twilio } = await readyCall();
    lose(twilio);
    await expectApology(twilio);
    expect(await server.log.find('call failed')).toMatchObject({ reason: 'twilio lost' });
  });
});

describe('the key', () => {
  it('is in no line of the log, whatever it looks like and wherever OpenAI puts it', async () => {
    const { session, twilio } = await readyCall({ OPENAI_API_KEY: 'my-own-key' });
    session.send({ type: 'error', error: { code: 'my-own-key', message: 'The key my-own-key is odd.' } });
    session.socket.close(4000, 'Incorrect API key provided: my-own-key');
    await expectApology(twilio);
    await server.log.find('call ended');
    expect(server.log.text).not.toContain('my-own-key');
  });
});

describe('a call goes on', () => {
  it('after an error that is harmless, which the log has', async () => {
    const { session, twilio } = await readyCall();
    session.send({
      type: 'error',
      error: { code: 'response_cancel_not_active', message: 'no active response' },
    });
    session.say(100);
    expect(await twilio.next()).toMatchObject({ media: { payload: audio(100) } });
    const error = { code: 'response_cancel_not_active', message: 'no active response' };
    expect(await server.log.find('openai error')).toMatchObject({ error });
  });
});

describe('a flood of errors', () => {
  it('is counted, and logged no more than 20 times', async () => {
    const { session, twilio } = await readyCall();
    for (let n = 0; n < 100; n++) session.send({ type: 'error', error: { code: `code_${n}` } });
    session.say(20);
    await twilio.next('mark');
    twilio.stop();
    const { errors } = await server.log.find('call ended');
    expect(Object.values(errors as object).reduce((sum, count) => sum + count, 0)).toBe(100);
    expect(server.log.lines.filter(({ msg }) => msg === 'openai error')).toHaveLength(20);
  });
});

describe('a call that lasts too long', () => {
  it('is ended with a sentence that says so, and no apology', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { session, twilio } = await readyCall({ MAX_CALL_SECONDS: '60' });
    vi.advanceTimersByTime(60_000);
    expect((await twilio.closed).code).toBe(1000);
    await session.closed;
    const words = await server.lastWords(CALL);
    expect(words).toContain('time limit');
    expect(words).not.toContain('gone wrong');
  });
});
