import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import type { Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { dialledCall, startCall, startServer, startServerAt } from './support/call.ts';
import { CALL, FakeOpenAI, type TwilioPeer } from './support/peers.ts';
import { portOf } from './support/port.ts';
import type { TestServer } from './support/server.ts';

afterEach(() => {
  vi.useRealTimers();
});

/** The address of a server in the place of OpenAI's that is no WebSocket server. */
async function listen(server: Server): Promise<string> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  return `ws://127.0.0.1:${portOf(server)}/`;
}

/** A server that refuses every handshake, in the way of the test. */
function refusing(refuse: (socket: Duplex) => void): Server {
  return createHttpServer().on('upgrade', (_request, socket) => {
    socket.on('error', () => {});
    refuse(socket);
  });
}

function head(status: number, length: number): string {
  return `HTTP/1.1 ${status} No\r\nContent-Length: ${length}\r\n\r\n`;
}

/** That the caller is told that something failed; returns what the log has of it. */
async function expectApology(server: TestServer, twilio: TwilioPeer) {
  expect((await twilio.closed).code).toBe(1011);
  expect(await server.lastWords(CALL)).toMatch(/<Say>I am sorry, something has gone wrong.*<Hangup\/>/);
  return server.log.find('call failed');
}

describe('an error without a code', () => {
  it('A session that is dialled again after an odd error has the time that any session has', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { openai, server, twilio, session } = await dialledCall();
    session.send({ type: 'error', error: { code: null, message: 'odd' } });
    await session.settle();
    session.socket.terminate();
    const second = await openai.dialled();
    vi.advanceTimersByTime(5_000);
    await second.configure();
    await second.next('response.create');
    expect(server.calls.live).toBe(1);
    twilio.stop();
  });
});

describe('a failure that stays', () => {
  it('A key that is refused is not tried again, and the log says what to do', async () => {
    const { openai, server, twilio, session } = await dialledCall();
    const error = { code: 'invalid_api_key', message: 'no' };
    const reason = 'invalid_request_error.invalid_api_key';
    session.send({ type: 'error', error });
    session.socket.close(3000, reason);
    expect(await expectApology(server, twilio)).toMatchObject({ closed: { code: 3000, reason }, error });
    expect(openai.handshakes).toBe(1);
    expect(await server.log.find('call failed')).toMatchObject({
      advice: expect.stringContaining('OPENAI_API_KEY'),
    });
  });

  it('A handshake that is answered with 401 is not tried again, and the log says what to do', async () => {
    const { openai, server } = await startServer({}, () => 401);
    expect(await expectApology(server, await startCall(server))).toMatchObject({ httpStatus: 401 });
    expect(openai.handshakes).toBe(1);
    expect(await server.log.find('call failed')).toMatchObject({
      advice: expect.stringContaining('OPENAI_API_KEY'),
    });
  });

  it("The log has OpenAI's error out of the text of a refused handshake", async () => {
    const error = { code: 'insufficient_quota', message: 'You exceeded it.' };
    const text = JSON.stringify({ error });
    const server = await startServerAt(
      await listen(refusing((socket) => socket.end(`${head(503, text.length)}${text}`))),
    );
    expect(await expectApology(server, await startCall(server))).toMatchObject({ httpStatus: 503, error });
  });

  it('The call ends when the session.update is rejected, and no audio has gone up', async () => {
    const { server, twilio, session } = await dialledCall();
    twilio.media(0);
    await session.begin();
    session.send({ type: 'error', error: { code: 'invalid_value', message: 'no' } });
    expect(await expectApology(server, twilio)).toMatchObject({ reason: 'session.update rejected' });
    await session.closed;
    expect(session.received).toHaveLength(1);
  });

  it('The call ends when OpenAI would hear the caller in another format, and no audio has gone up', async () => {
    const { server, twilio, session } = await dialledCall();
    twilio.media(0);
    await session.configure('audio/pcm');
    expect(await expectApology(server, twilio)).toMatchObject({ reason: 'session not audio/pcmu' });
    await session.closed;
    expect(session.received).toHaveLength(1);
  });

  it.each([
    ['created', false],
    ['updated', true],
  ])('The call ends when the session is not %s within 10 s', async (_, begins) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { server, twilio, session } = await dialledCall();
    if (begins) await session.begin();
    await server.log.find('call started');
    vi.advanceTimersByTime(9_999);
    expect(server.calls.live).toBe(1);
    vi.advanceTimersByTime(1);
    expect(await expectApology(server, twilio)).toMatchObject({ reason: 'not ready in time' });
  });
});

describe('a refusal that OpenAI does not finish', () => {
  it('ends half a second after the first error, however many follow', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { server, twilio, session } = await dialledCall();
    for (const wait of [400, 100]) {
      session.send({ type: 'error', error: { code: 'odd', message: 'Something odd.' } });
      await session.settle();
      vi.advanceTimersByTime(wait);
    }
    expect(await expectApology(server, twilio)).toMatchObject({ reason: 'openai error' });
  });

  it('The call ends when the text of a refused handshake never does', async () => {
    const trickling = refusing((socket) => {
      socket.write(head(401, 999));
      const drip = setInterval(() => socket.write(' '), 100);
      socket.on('close', () => clearInterval(drip));
    });
    const server = await startServerAt(await listen(trickling));
    expect(await expectApology(server, await startCall(server))).toMatchObject({ httpStatus: 401 });
  });
});

describe('a failure that may pass', () => {
  it.each([
    ['is answered with 503', 503],
    ['takes more than 4 s', 'hang'],
  ] as const)(
    'The caller notices nothing when the first handshake %s',
    async (_, refusal) => {
      const { openai, server } = await startServer({}, (n) => (n === 1 ? refusal : undefined));
      const twilio = await startCall(server);
      const session = await openai.dialled();
      await session.configure();
      session.say(100);
      await twilio.next('media');
      expect(openai.handshakes).toBe(2);
      twilio.stop();
      expect(await server.log.find('call ended')).toMatchObject({ reason: 'twilio stopped', retries: 1 });
    },
    10_000,
  );

  it('The call ends when the second handshake is answered with 503, too', async () => {
    const { openai, server } = await startServer({}, () => 503);
    await expectApology(server, await startCall(server));
    expect(openai.handshakes).toBe(2);
  });

  it('A connection that is reset after its 101 is dialled once more, until the caller hangs up', async () => {
    const { openai, server, twilio, session } = await dialledCall();
    session.socket.terminate();
    const second = await openai.dialled();
    twilio.stop();
    await second.closed;
    expect(await server.log.find('call ended')).toMatchObject({ reason: 'twilio stopped', retries: 1 });
    expect(openai.handshakes).toBe(2);
  });

  it('A connection that is refused is dialled once more, and the log says how it was closed', async () => {
    const fake = await FakeOpenAI.listen();
    const { url } = fake;
    await fake.close();
    const server = await startServerAt(url);
    await expectApology(server, await startCall(server));
    expect(await server.log.find('dialling OpenAI once more')).toMatchObject({ closed: { code: 1006 } });
  });
});
