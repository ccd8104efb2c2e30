import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { issueToken, sign } from '../../src/wire/auth.ts';
import { startServer } from '../support/call.ts';
import { AUTH_TOKEN, GUARDED, HOST, SIGNATURE } from '../support/config.ts';
import { dialStream, type FakeOpenAI, type TwilioPeer } from '../support/peers.ts';
import type { TestServer } from '../support/server.ts';
import { STREAM } from '../support/wire.ts';

let openai: FakeOpenAI;
let server: TestServer;

beforeEach(async () => {
  ({ openai, server } = await startServer({ ...GUARDED, MAX_CONCURRENT_CALLS: '2' }));
});

afterEach(() => {
  vi.useRealTimers();
});

const dial = (): Promise<TwilioPeer> => dialStream(server.origin, SIGNATURE);
const token = (callSid: string): string => issueToken(AUTH_TOKEN, callSid, Date.now());

/** An accepted call, after the dial of its session. */
async function admitted(callSid: string): Promise<TwilioPeer> {
  const twilio = await dial();
  twilio.start(callSid, token(callSid));
  await openai.dialled();
  return twilio;
}

/** Resolves to the status of an upgrade with these headers. */
function upgrade(headers: Record<string, string>, path = '/media-stream'): Promise<number> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${server.origin.replace('http', 'ws')}${path}`, { headers });
    socket.on('error', () => {});
    socket.on('unexpected-response', (_request, response) => {
      resolve(response.statusCode ?? 0);
      socket.terminate();
    });
    socket.on('open', () => {
      resolve(101);
      socket.terminate();
    });
  });
}

describe('An upgrade', () => {
  it.each([
    ['as it stands in the TwiML', `wss://${HOST}/media-stream`],
    ['with a slash at its end', `wss://${HOST}/media-stream/`],
    ['with its port', `wss://${HOST}:443/media-stream`],
  ])('is accepted when Twilio signed its address %s', async (_, url) => {
    expect(await upgrade({ 'x-twilio-signature': sign(AUTH_TOKEN, url) })).toBe(101);
  });

  it('is accepted by an address that ends in a slash', async () => {
    expect(await upgrade(SIGNATURE, '/media-stream/')).toBe(101);
  });

  it.each([
    ['nothing', {}],
    ['another address', { 'x-twilio-signature': sign(AUTH_TOKEN, `https://${HOST}/media-stream`) }],
    ['another token', { 'x-twilio-signature': sign('guess', `wss://${HOST}/media-stream`) }],
  ])('gets 403 when it is signed with %s', async (_, headers) => {
    expect(await upgrade(headers)).toBe(403);
  });

  it('gets 404 for another path, and leaves nothing in the log', async () => {
    for (const path of ['/', '/incoming-call', '/other']) {
      expect(await upgrade(SIGNATURE, `${path}?From=%2B14155550123`)).toBe(404);
    }
    expect(server.log.text).not.toContain('50123');
  });
});

describe('The refusal of a wrong signature', () => {
  const CAUSES = {
    protocol: /^Twilio asked by https:/,
    publicUrl: /^PUBLIC_URL is not what Twilio asked for$/,
    any: /^TWILIO_AUTH_TOKEN .*, PUBLIC_URL .*, or the proxy changes the path or the query$/,
    hidden: /^TWILIO_AUTH_TOKEN .* the host, the path or the query: set PUBLIC_URL/,
  };

  it.each([
    ['http://relay.example.com', 'https://relay.example.com/incoming-call', CAUSES.protocol],
    ['https://other.example', 'http://relay.example.com/incoming-call', CAUSES.publicUrl],
    ['https://relay.example.com', 'https://relay.example.com/voice/incoming-call', CAUSES.any],
    ['', 'https://relay.example.com/voice/incoming-call', CAUSES.hidden],
  ])('with the PUBLIC_URL %j names the cause for %s', async (PUBLIC_URL, url, cause) => {
    const { server } = await startServer({ ...GUARDED, PUBLIC_URL });
    const headers = { host: HOST, 'x-twilio-signature': sign(AUTH_TOKEN, `${url}?f=%2F`) };
    await server.app.inject({ url: '/incoming-call?f=%2F', headers });
    expect(await server.log.find('request rejected')).toMatchObject({
      assumed: `${PUBLIC_URL || 'http://relay.example.com'}/incoming-call`,
      cause: expect.stringMatching(cause),
    });
  });

  it('is logged beside the requests that have none', async () => {
    const { server } = await startServer(GUARDED);
    await server.app.inject('/incoming-call');
    await server.app.inject({ url: '/incoming-call', headers: { 'x-twilio-signature': sign('guess', 'x') } });
    expect(await server.log.find('unsigned request rejected')).toMatchObject({
      cause: expect.stringMatching(/signature/),
    });
    expect(await server.log.find('request rejected')).toMatchObject({
      cause: expect.stringMatching(/AUTH_TOKEN/),
    });
  });

  it('names the path of a stream', async () => {
    expect(await upgrade({ 'x-twilio-signature': sign('guess', 'x') }, '/media-stream/CA1')).toBe(403);
    expect(await server.log.find('request rejected')).toMatchObject({
      assumed: `wss://${HOST}/media-stream/CA1`,
    });
  });
});

describe('A request that no route takes', () => {
  const FORM = 'application/x-www-form-urlencoded';

  it.each([
    ['POST', '/', FORM, 404, expect.stringContaining('webhook is /incoming-call')],
    ['GET', '/', FORM, 404, expect.any(String)],
    ['POST', '/media-stream', FORM, 404, expect.any(String)],
    ['POST', '/voice/incoming-call', FORM, 404, expect.any(String)],
    ['POST', '/incoming-call', 'application/json', 415, undefined],
  ] as const)('is logged if Twilio may have signed it: %s %s', async (method, path, type, status, advice) => {
    const headers = { ...SIGNATURE, 'content-type': type };
    const url = `${path}?From=50123`;
    const payload = method === 'POST' ? '{}' : '';
    expect((await server.app.inject({ method, url, headers, payload })).statusCode).toBe(status);
    const fields = { status, method, path, ...(advice && { advice }) };
    expect(await server.log.find('request rejected')).toMatchObject(fields);
    expect(server.log.text).not.toContain('50123');
  });

  it('is logged without its path if nobody has signed it', async () => {
    await server.app.inject('/wp-login.php');
    expect(await server.log.find('unsigned request rejected')).toMatchObject({ status: 404 });
    expect(server.log.text).not.toContain('wp-login');
  });
});

describe('A refused stream', () => {
  it.each<[string, number, string, (twilio: TwilioPeer) => void]>([
    ['of a call that has one', 1008, 'call already live', (twilio) => twilio.start('CA1', token('CA1'))],
    ['beyond MAX_CONCURRENT_CALLS', 1013, 'busy', (twilio) => twilio.start('CA3', token('CA3'))],
  ])('is one %s, closed with %d: OpenAI is not dialled', async (_, code, reason, start) => {
    const others = [await admitted('CA1'), await admitted('CA2')];
    const twilio = await dial();
    start(twilio);
    expect((await twilio.closed).code).toBe(code);
    expect(await server.log.find('stream rejected')).toMatchObject({
      reason,
      callSid: expect.stringMatching(/^CA\d$/),
    });
    expect(openai.handshakes).toBe(2);
    expect(server.calls.live).toBe(2);
    expect(others.map(({ socket }) => socket.readyState)).toEqual([WebSocket.OPEN, WebSocket.OPEN]);
  });

  it("has its audio format logged if that is not a telephone's", async () => {
    const mediaFormat = { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 2 };
    const twilio = await dial();
    const start = { callSid: 'CA3', mediaFormat, customParameters: { token: token('CA3') } };
    twilio.send({ event: 'start', streamSid: STREAM, start });
    expect((await twilio.closed).code).toBe(1008);
    expect(await server.log.find('unsupported audio format')).toMatchObject({
      format: mediaFormat,
    });
  });

  it('is one that has not started within 10 s', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const twilio = await dial();
    twilio.send({ event: 'connected', protocol: 'Call', version: '1.0.0' });
    await twilio.settle();
    vi.advanceTimersByTime(9_999);
    await twilio.settle();
    vi.advanceTimersByTime(1);
    expect((await twilio.closed).code).toBe(1008);
    expect(openai.handshakes).toBe(0);
  });
});
