import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import type { Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { dialledCall, startCall, startServerAt } from './support/call.ts';
import { CALL, FakeOpenAI, type OpenAIPeer, type TwilioPeer } from './support/peers.ts';
import { portOf } from './support/port.ts';
import type { TestServer } from './support/server.ts';

afterEach(() => {
  vi.useRealTimers();
});

/** The address of a server in OpenAI's place. */
async function listen(server: Server): Promise<string> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  return `ws://127.0.0.1:${portOf(server)}/`;
}

/** A server that answers every handshake by `refuse`. */
function refusing(refuse: (socket: Duplex) => void): Server {
  return createHttpServer().on('upgrade', (_request, socket) => {
    socket.on('error', () => {});
    refuse(socket);
  });
}

function head(status: number, length: number): string {
  return `HTTP/1.1 ${status} No\r\nContent-Length: ${length}\r\n\r\n`;
}

/** Expects that the caller gets the apology; returns the log line. */
async function expectApology(server: TestServer, twilio: TwilioPeer) {
  expect((await twilio.closed).code).toBe(1011);
  expect(await server.lastWords(CALL)).toMatch(/<Say>I am sorry, something has gone wrong.*<Hangup\/>/);
  return server.log.find('call failed');
}

describe('An error without a code', () => {
  it('leaves the next session all of its time', async () => {
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

describe('A permanent failure', () => {
  it('of the key is not retried, and the log gives advice', async () => {
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

  it('of a handshake is logged with the error in its body', async () => {
    const error = { code: 'insufficient_quota', message: 'You exceeded it.' };
    const text = JSON.stringify({ error });
    const server = await startServerAt(
      await listen(refusing((socket) => socket.end(`${head(503, text.length)}${text}`))),
    );
    expect(await expectApology(server, await startCall(server))).toMatchObject({ httpStatus: 503, error });
  });

  it.each<[string, string, (session: OpenAIPeer) => Promise<unknown>]>([
    ['session.update', 'session.update rejected', rejectUpdate],
    ['the audio format', 'session not audio/pcmu', (session) => session.configure('audio/pcm')],
  ])('of %s ends the call before any audio goes up', async (_, reason, refuse) => {
    const { server, twilio, session } = await dialledCall();
    twilio.media(0);
    await refuse(session);
    expect(await expectApology(server, twilio)).toMatchObject({ reason });
    await session.closed;
    expect(session.received).toHaveLength(1);
  });

  async function rejectUpdate(session: OpenAIPeer): Promise<void> {
    await session.begin();
    session.send({ type: 'error', error: { code: 'invalid_value', message: 'no' } });
  }

  it.each([
    ['created', false],
    ['updated', true],
  ])('ends the call if the session is not %s within 10 s', async (_, begins) => {
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

describe('An unfinished refusal', () => {
  it('ends the call half a second after its first error', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { server, twilio, session } = await dialledCall();
    for (const wait of [400, 100]) {
      session.send({ type: 'error', error: { code: 'odd', message: 'Something odd.' } });
      await session.settle();
      vi.advanceTimersByTime(wait);
    }
    expect(await expectApology(server, twilio)).toMatchObject({ reason: 'openai error' });
  });

  it('ends the call though its body never ends', async () => {
    const trickling = refusing((socket) => {
      socket.write(head(401, 999));
      const drip = setInterval(() => socket.write(' '), 100);
      socket.on('close', () => clearInterval(drip));
    });
    const server = await startServerAt(await listen(trickling));
    expect(await expectApology(server, await startCall(server))).toMatchObject({ httpStatus: 401 });
  });
});

describe('A passing failure', () => {
  it('is retried after the pause that Retry-After asks for', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    let handshakes = 0;
    const limiting = refusing((socket) => {
      handshakes += 1;
      socket.end('HTTP/1.1 429 No\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n');
    }).on('request', (_request, response) => response.end());
    const url = await listen(limiting);
    const server = await startServerAt(url);
    const twilio = await startCall(server);
    await server.log.find('dialling again');
    vi.advanceTimersByTime(2_999);
    // What was dialled before this request arrives before it.
    await fetch(url.replace('ws', 'http'));
    expect(handshakes).toBe(1);
    vi.advanceTimersByTime(1);
    await expectApology(server, twilio);
    expect(handshakes).toBe(2);
  });

  it('is not retried if Retry-After asks for more than 10 s', async () => {
    const busy = 'HTTP/1.1 503 No\r\nRetry-After: 11\r\nContent-Length: 0\r\n\r\n';
    const server = await startServerAt(await listen(refusing((socket) => socket.end(busy))));
    expect(await expectApology(server, await startCall(server))).toMatchObject({ retryAfterMs: 11_000 });
    expect(server.log.text).not.toContain('dialling again');
  });

  it('of a connection is logged with its close', async () => {
    const fake = await FakeOpenAI.listen();
    const { url } = fake;
    await fake.close();
    const server = await startServerAt(url);
    await expectApology(server, await startCall(server));
    expect(await server.log.find('dialling again')).toMatchObject({
      error: { code: 'ECONNREFUSED' },
      closed: { code: 1006 },
    });
  });
});
