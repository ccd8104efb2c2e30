import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { issueToken, sign } from '../src/wire/auth.ts';
import { AUTH_TOKEN, GUARDED, HOST, SIGNATURE } from './support/config.ts';
import { CALL, dialStream, FakeOpenAI, type TwilioPeer } from './support/peers.ts';
import { TestServer } from './support/server.ts';
import { audio, STREAM } from './support/wire.ts';

let openai: FakeOpenAI;
let server: TestServer;

beforeEach(async () => {
  openai = await FakeOpenAI.listen();
  server = await TestServer.start({
    OPENAI_REALTIME_URL: openai.url,
    ...GUARDED,
    MAX_CONCURRENT_CALLS: '2',
  });
});

afterEach(async () => {
  vi.useRealTimers();
  await server.app.close();
  await openai.close();
});

const dial = (): Promise<TwilioPeer> => dialStream(server.origin, SIGNATURE);
const token = (callSid = CALL, now = Date.now()): string => issueToken(AUTH_TOKEN, callSid, now);

/** A call that has been let in: OpenAI was dialled for it. */
async function admitted(callSid: string): Promise<TwilioPeer> {
  const twilio = await dial();
  twilio.start(callSid, token(callSid));
  await openai.dialled();
  return twilio;
}

/** What an upgrade with these headers is answered with. */
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

describe('an upgrade', () => {
  it.each([
    ['as it stands in the TwiML', `wss://${HOST}/media-stream`],
    ['with a slash at its end', `wss://${HOST}/media-stream/`],
    ['with its port', `wss://${HOST}:443/media-stream`],
  ])('is let in when Twilio signed the address %s', async (_, url) => {
    expect(await upgrade({ 'x-twilio-signature': sign(AUTH_TOKEN, url) })).toBe(101);
  });

  it('is let in by an address that ends in a slash', async () => {
    expect(await upgrade(SIGNATURE, '/media-stream/')).toBe(101);
  });

  it.each([
    ['nothing', {}],
    ['another address', { 'x-twilio-signature': sign(AUTH_TOKEN, `https://${HOST}/media-stream`) }],
    ['another token', { 'x-twilio-signature': sign('guess', `wss://${HOST}/media-stream`) }],
  ])('is answered with 403 instead of 101 when signed with %s', async (_, headers) => {
    expect(await upgrade(headers)).toBe(403);
  });
});

it('an upgrade of anything but the stream is answered with 404, and leaves nothing in the log', async () => {
  for (const path of ['/', '/incoming-call', '/other']) {
    expect(await upgrade(SIGNATURE, `${path}?From=%2B14155550123`)).toBe(404);
  }
  expect(server.log.text).not.toContain('50123');
});

describe('a stream that is let in', () => {
  it('brings back the token that was issued for its call', async () => {
    const twilio = await dial();
    twilio.start(CALL, token());
    await openai.dialled();
  });

  it('is closed with 1008 when it brings none, and OpenAI is not dialled', async () => {
    const twilio = await dial();
    twilio.start(CALL);
    expect((await twilio.closed).code).toBe(1008);
    expect(openai.peers).toEqual([]);
    expect(await server.log.find('stream ended before its call began')).toMatchObject({
      reason: 'bad token',
      callSid: CALL,
    });
  });

  it('is closed with 1008 when it has not started within 10 s', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const twilio = await dial();
    twilio.send({ event: 'connected', protocol: 'Call', version: '1.0.0' });
    twilio.media(0);
    vi.advanceTimersByTime(9_999);
    expect(twilio.socket.readyState).toBe(WebSocket.OPEN);
    vi.advanceTimersByTime(1);
    expect((await twilio.closed).code).toBe(1008);
    expect(openai.peers).toEqual([]);
  });

  it("is closed with 1008 when its audio is not a telephone's, which the log has", async () => {
    const mediaFormat = { encoding: 'audio/x-mulaw', sampleRate: 16000, channels: 1 };
    const twilio = await dial();
    const start = { callSid: CALL, mediaFormat, customParameters: { token: token() } };
    twilio.send({ event: 'start', streamSid: STREAM, start });
    expect((await twilio.closed).code).toBe(1008);
    expect(openai.peers).toEqual([]);
    expect(await server.log.find('the stream is not in mu-law at 8000 Hz, mono')).toMatchObject({
      format: JSON.stringify(mediaFormat),
    });
  });

  it('is the only one of its call', async () => {
    const first = await admitted('CA1');
    const second = await dial();
    second.start('CA1', token('CA1'));
    expect((await second.closed).code).toBe(1008);
    expect(first.socket.readyState).toBe(WebSocket.OPEN);
    expect(server.calls.live).toBe(1);
    expect(openai.peers).toHaveLength(1);
  });

  it('is one of MAX_CONCURRENT_CALLS at most, however many were answered', async () => {
    const streams = await Promise.all([dial(), dial(), dial()]);
    for (const [n, twilio] of streams.entries()) twilio.start(`CA${n}`, token(`CA${n}`));
    const refused = await Promise.race(
      streams.map(async (twilio) => ({ twilio, closed: await twilio.closed })),
    );
    expect(refused.closed.code).toBe(1013);
    expect(server.calls.live).toBe(2);
  });
});

describe('a place', () => {
  it.each([
    ['says stop', (twilio: TwilioPeer) => twilio.stop()],
    ['closes', (twilio: TwilioPeer) => twilio.socket.close()],
    ['is reset', (twilio: TwilioPeer) => twilio.socket.terminate()],
    ['sends too much', (twilio: TwilioPeer) => twilio.socket.send('x'.repeat(70_000))],
  ])('comes back when Twilio %s', async (_, leave) => {
    const twilio = await admitted('CA1');
    expect(server.calls.live).toBe(1);
    leave(twilio);
    await server.log.find('call ended');
    expect(server.calls.live).toBe(0);
  });

  it('comes back when OpenAI leaves', async () => {
    await admitted('CA1');
    openai.peers[0]?.socket.close(1000);
    await server.log.find('call ended');
    expect(server.calls.live).toBe(0);
  });
});

describe('what does not belong on a stream', () => {
  it('closes it when it is over 64 KiB', async () => {
    const twilio = await admitted('CA1');
    twilio.media(0, audio(8_000));
    expect((await twilio.closed).code).toBe(1009);
  });

  it('is ignored and counted, on both sides', async () => {
    const twilio = await admitted(CALL);
    const session = openai.peers[0];
    if (session === undefined) throw new Error('no session');
    await session.configure();
    await session.next('response.create');
    for (const text of ['', '{', '[]', 'null', '{"event":"mystery","streamSid":"MZ"}', '{"event":7}']) {
      twilio.socket.send(text);
    }
    twilio.socket.send(Buffer.from('{"event":"stop"}'), { binary: true });
    twilio.start('CA-second', token('CA-second'));
    for (const text of ['', '{', '[]', '{"type":7}', '{"type":"response.output_audio.delta","delta":5}']) {
      session.socket.send(text);
    }
    session.socket.send(Buffer.from('{"type":"error"}'), { binary: true });
    session.say(20);
    await twilio.next('mark');
    twilio.media(0);
    await session.next('input_audio_buffer.append');
    twilio.stop();
    expect(await server.log.find('call ended')).toMatchObject({
      ignored: { twilio: 9, openai: 6 },
      errors: {},
    });
    expect(openai.peers).toHaveLength(1);
  });
});
