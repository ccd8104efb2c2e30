import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { issueToken } from '../../src/wire/auth.ts';
import { startServer } from '../support/call.ts';
import { AUTH_TOKEN, GUARDED, SIGNATURE } from '../support/config.ts';
import { CALL, dialStream } from '../support/peers.ts';
import { answeringLater, ring } from '../support/ring.ts';
import type { TestServer } from '../support/server.ts';

let server: TestServer;
const clients: Socket[] = [];

beforeEach(async () => {
  ({ server } = await startServer(GUARDED));
});

afterEach(() => {
  vi.useRealTimers();
  for (const client of clients.splice(0)) client.destroy();
});

/** A client that sends `text`, stays connected and collects the answer. */
function client(text: string | Buffer): { socket: Socket; answer: () => string; closed: Promise<void> } {
  const { port } = new URL(server.origin);
  const socket = connect(Number(port), '127.0.0.1');
  let answer = '';
  clients.push(socket);
  socket.on('error', () => {});
  socket.on('data', (data) => {
    answer += data;
  });
  const closed = new Promise<void>((resolve) => {
    socket.on('close', () => resolve());
  });
  socket.write(text);
  return { socket, answer: () => answer, closed };
}

function connections(): Promise<number> {
  return new Promise((resolve) => {
    server.app.server.getConnections((_error, count) => resolve(count));
  });
}

const WEBSOCKET = [
  'Host: a',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
];
const SIGNED = `X-Twilio-Signature: ${SIGNATURE['x-twilio-signature']}`;

function request(line: string, ...headers: string[]): string {
  return `${line} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`;
}

describe('An upgrade for another path', () => {
  it.each([
    ['of a path that is no path', request('GET /%ff', 'Host: a', 'Connection: Upgrade', 'Upgrade: x')],
    ["of no path below the stream's", request('GET /media-stream/%ff', ...WEBSOCKET)],
    ['of another path', request('GET /other', ...WEBSOCKET)],
    ['of no path at all', request('GET *', ...WEBSOCKET)],
    ['of a whole address', request('GET http://a/media-stream', ...WEBSOCKET)],
    ['to another protocol', request('GET /media-stream', 'Host: a', 'Connection: Upgrade', 'Upgrade: h2c')],
    ['by POST', request('POST /media-stream', ...WEBSOCKET, SIGNED, 'Content-Length: 5')],
  ])('gets 404 and is closed when it is %s', async (_, text) => {
    const { answer, closed } = client(text);
    await closed;
    expect(answer()).toMatch(/^HTTP\/1\.1 404 .*\r\nCache-Control: no-store\r\n/s);
    await expect.poll(connections).toBe(0);
  });

  it('is logged with its path if Twilio may have signed it', async () => {
    client(request('GET /voice/media-stream?From=50123', ...WEBSOCKET, SIGNED));
    expect(await server.log.find('request rejected')).toMatchObject({
      ...{ status: 404, method: 'GET', path: '/voice/media-stream', advice: expect.any(String) },
    });
    expect(server.log.text).not.toContain('50123');
  });

  it.each([
    ['behind another request', request('GET /', 'Host: a') + request('GET /%ff', ...WEBSOCKET)],
    [
      "for the stream's own path",
      request('GET /', 'Host: a') + request('GET /media-stream', ...WEBSOCKET, SIGNED),
    ],
  ])('is closed when it comes %s', async (_, text) => {
    const { answer, closed } = client(text);
    await closed;
    expect(answer()).not.toContain('101 ');
    await expect.poll(connections).toBe(0);
  });

  it('is closed by the server if the client closes nothing', async () => {
    const { socket } = client(request('GET /other', ...WEBSOCKET));
    socket.pause();
    await expect.poll(connections).toBe(0);
  });
});

describe('An upgrade for the stream', () => {
  it.each([
    ['is not signed', request('GET /media-stream', ...WEBSOCKET), /^HTTP\/1\.1 403 /],
    ['has no key', request('GET /media-stream', ...WEBSOCKET.slice(0, 4), SIGNED), /^HTTP\/1\.1 400 /],
  ])('is closed when it %s', async (_, text, status) => {
    const { answer, closed } = client(text);
    await closed;
    expect(answer()).toMatch(status);
    await expect.poll(connections).toBe(0);
  });

  it('takes the place of no other stream unless it is signed', async () => {
    ({ server } = await startServer({ ...GUARDED, MAX_CONCURRENT_CALLS: '1' }));
    const first = await dialStream(server.origin, SIGNATURE);
    for (let n = 0; n < 10; n++) await dialStream(server.origin, SIGNATURE);
    await client(request('GET /media-stream', ...WEBSOCKET)).closed;
    first.start(CALL, issueToken(AUTH_TOKEN, CALL, Date.now()));
    await server.log.find('call started');
  });
});

describe('A plain connection', () => {
  it('carries one request, and ignores those pipelined behind it', async () => {
    const { answer, closed } = client(request('GET /', 'Host: a').repeat(50));
    await closed;
    expect(answer().match(/HTTP\/1\.1 200 OK/g)).toHaveLength(1);
  });

  it('is closed once its request is answered', async () => {
    await client(request('GET /', 'Host: a')).closed;
  });

  it.each([
    ['nothing', ''],
    ['no whole header', 'GET / HTTP/1.1\r\nHost: a\r\n'],
    ['no body', request('POST /incoming-call', 'Host: a', SIGNED, 'Content-Length: 50000')],
  ])('lasts 10 s at most when it sends %s', async (_, text) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const connected = once(server.app.server, 'connection');
    const { closed } = client(text);
    await connected;
    vi.advanceTimersByTime(9_999);
    expect(await connections()).toBe(1);
    vi.advanceTimersByTime(1);
    await closed;
  });

  it('pushes out the oldest above 250', async () => {
    const first = client('');
    await expect.poll(connections).toBe(1);
    for (let n = 0; n < 250; n++) client('');
    await first.closed;
    await expect.poll(connections).toBe(250);
    expect(server.log.messages()).toContain('too many connections');
  });

  it('is not pushed out while a signed webhook is answered', async () => {
    const { asked, release, ...started } = await answeringLater();
    ({ server } = started);
    const twiml = ring(server);
    await vi.waitFor(() => expect(asked).toHaveLength(1));
    const next = client('');
    for (let n = 0; n < 250; n++) client('');
    await next.closed;
    release(undefined);
    expect(await twiml).toContain('<Connect ');
  });
});

describe('A malformed request', () => {
  it.each([
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03+14155550123'],
    ['the PROXY protocol', 'PROXY TCP4 50123 10.0.0.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['the PROXY protocol', '\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c50123'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n50123'],
    [undefined, `GET / HTTP/9.9\r\n${SIGNED}\r\nFrom: +14155550123\r\n\r\n`],
  ])('gets 400, and is logged as what it looks like: %s', async (looksLike, bytes) => {
    const { answer, closed } = client(Buffer.from(bytes, 'latin1'));
    await closed;
    expect(answer()).toMatch(/^HTTP\/1\.1 400 /);
    const line = await server.log.find('malformed request');
    expect([line.code, line.looksLike]).toEqual([expect.stringMatching(/^HPE_/), looksLike]);
    expect(server.log.text).not.toMatch(/rawPacket|50123/);
  });

  it('is not logged if the client just goes', async () => {
    const { socket } = client('GET / HTTP/1.1\r\n');
    await expect.poll(connections).toBe(1);
    socket.resetAndDestroy();
    await expect.poll(connections).toBe(0);
    expect(server.log.text).not.toContain('malformed request');
  });
});
