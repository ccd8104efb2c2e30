import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { WebSocketServer } from 'ws';
import { sign } from '../../src/wire/auth.ts';
import type { JsonObject } from '../../src/wire/json.ts';
import { Peer } from '../support/peers.ts';
import { portOf } from '../support/port.ts';
import { type CallerEvent, type CallOptions, type PhoneCall, placeCall } from './caller.ts';
import { readCommand } from './command.ts';
import { only } from './narrator.ts';
import type { Moment } from './stream.ts';

const CONNECT = `<?xml version="1.0" encoding="UTF-8"?>
<Response><Connect action="/call-ended?a=1&amp;b=2"><Stream url="wss://relay.example.com/media-stream">
<Parameter name="token" value="&lt;&quot;a&quot; &amp; &apos;b&apos;&gt;"/><Parameter name="n" value="2"/>
</Stream></Connect></Response>`;

interface Post {
  headers: IncomingHttpHeaders;
  form: Record<string, string>;
}

type Respond = (response: ServerResponse) => void;

const xml =
  (twiml: string): Respond =>
  (response) =>
    response.setHeader('content-type', 'text/xml').end(twiml);

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A server that responds to webhooks as told, and accepts a stream unless `upgradeStatus` is given. */
async function serve(respond: Respond = xml(CONNECT), upgradeStatus?: number) {
  const posts: Record<string, Post> = {};
  const upgrades: IncomingHttpHeaders[] = [];
  const server = createServer(async (request, response) => {
    const form = Object.fromEntries(new URLSearchParams(await text(request)));
    posts[request.url ?? ''] = { headers: request.headers, form };
    respond(response);
  });
  const streams = new WebSocketServer({
    server,
    path: '/media-stream',
    verifyClient({ req }, answer) {
      upgrades.push(req.headers);
      answer(upgradeStatus === undefined, upgradeStatus);
    },
  });
  const stream = new Promise<Peer>((resolve) => {
    streams.on('connection', (socket) => resolve(new Peer(socket)));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => server.close());
  return { url: `http://127.0.0.1:${portOf(server)}`, posts, upgrades, stream };
}

/** A call whose stream has begun, seen from both ends. */
async function answered(options: Partial<CallOptions> = {}) {
  const { url, stream, ...server } = await serve();
  const events: CallerEvent[] = [];
  const call = await placeCall({ url, ...options, onEvent: (event) => events.push(event) });
  cleanups.push(() => call.hangUp());
  return { ...server, call, stream: await stream, events };
}

function audio(ms: number, byte = 1): Uint8Array {
  return new Uint8Array(8 * ms).fill(byte);
}

function media({ streamSid }: PhoneCall, sound: Uint8Array) {
  return { event: 'media', streamSid, media: { payload: Buffer.from(sound).toString('base64') } };
}

function mark({ streamSid }: PhoneCall, name: string) {
  return { event: 'mark', streamSid, mark: { name } };
}

function payloadOf(message: JsonObject): Buffer {
  return Buffer.from(String(Object(message.media).payload), 'base64');
}

/** The first event of that type, once there is one. */
function toldOf<T extends CallerEvent['type']>(events: CallerEvent[], type: T) {
  return vi.waitFor(() => {
    const [event] = only(events, type);
    if (event === undefined) throw new Error(`no ${type}`);
    return event;
  }, 2_000);
}

describe('placing a call', () => {
  it('A caller and a number that are given are those that the webhook gets', async () => {
    const { posts } = await answered({ from: '+4712345678', to: '+4787654321' });
    const { form } = posts['/incoming-call'] ?? {};
    const numbers = { From: '+4712345678', Caller: '+4712345678', To: '+4787654321', Called: '+4787654321' };
    expect(form).toMatchObject(numbers);
  });

  it('A webhook that has it asked again elsewhere is, before there is a stream', async () => {
    const twiml =
      '<Response><Pause length="0"/><Redirect>/incoming-call?again=1&amp;b=2</Redirect></Response>';
    let asked = 0;
    const { url, posts, stream } = await serve((response) => {
      asked += 1;
      xml(asked === 1 ? twiml : CONNECT)(response);
    });
    const call = await placeCall({ url });
    cleanups.push(() => call.hangUp());
    await stream;
    expect(Object.keys(posts)).toEqual(['/incoming-call', '/incoming-call?again=1&b=2']);
  });

  it('The webhook and the upgrade get what Twilio sends, signed over the public address', async () => {
    const publicUrl = 'https://relay.example.com';
    const { call, posts, upgrades } = await answered({ publicUrl, authToken: 'secret' });
    const { form = {}, headers } = posts['/incoming-call'] ?? {};
    const { callSid: CallSid } = call;
    expect(form).toMatchObject({ CallSid, CallStatus: 'ringing', Direction: 'inbound', FromCity: '' });
    expect(form).toMatchObject({ From: '+14155550100', To: '+14155550199' });
    expect(form.AccountSid).toMatch(/^AC[\da-f]{32}$/);
    expect(CallSid).toMatch(/^CA[\da-f]{32}$/);
    expect(headers?.['x-twilio-signature']).toBe(sign('secret', `${publicUrl}/incoming-call`, form));

    const signature = sign('secret', 'wss://relay.example.com/media-stream');
    expect(upgrades).toMatchObject([{ 'x-twilio-signature': signature }]);
    expect(upgrades[0]).not.toHaveProperty('origin');
    expect(upgrades[0]).not.toHaveProperty('sec-websocket-protocol');
    expect(upgrades[0]).not.toHaveProperty('sec-websocket-extensions');
  });

  it('The stream begins with connected and start, which has the parameters of the TwiML', async () => {
    const { call, stream, posts } = await answered();
    const { callSid, streamSid } = call;
    expect(await stream.next()).toEqual({ event: 'connected', protocol: 'Call', version: '1.0.0' });
    expect(await stream.next()).toEqual({
      event: 'start',
      sequenceNumber: '1',
      start: {
        accountSid: posts['/incoming-call']?.form.AccountSid,
        streamSid,
        callSid,
        tracks: ['inbound'],
        mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 },
        customParameters: { token: `<"a" & 'b'>`, n: '2' },
      },
      streamSid,
    });
  });

  const connect = (url: string) => xml(`<Response><Connect><Stream url="${url}"/></Connect></Response>`);

  it.each<[string, Respond, number, number[], number?]>([
    ['without a stream', xml('<Response><Reject/></Response>'), 200, []],
    ['with an error', (response) => response.writeHead(500).end(), 500, [11200]],
    ['with JSON', (response) => response.end('{}'), 200, [11200]],
    ['with a ws address', connect('ws://a/b'), 200, [31922]],
    ['with a query in the address', connect('wss://a/b?c=d'), 200, [31920]],
    ['and rejects the upgrade', xml(CONNECT), 403, [31920], 403],
  ])(
    'A call ends as rejected when the server responds %s',
    async (_, respond, httpStatus, codes, upgrade) => {
      const { url } = await serve(respond, upgrade);
      const call = await placeCall({ url });
      const reason = expect.stringMatching(/./);
      expect(await call.ended).toEqual({ by: 'rejected', code: 1006, reason, httpStatus });
      expect(call.warnings.map(({ code }) => code)).toEqual(codes);
      expect(await call.untilPlaying()).toBe(false);
    },
  );

  it('A call ends as rejected when nobody listens', async () => {
    const call = await placeCall({ url: 'http://127.0.0.1:1' });
    expect(await call.ended).toMatchObject({ by: 'rejected', code: 1006 });
  });
});

describe('what the caller says', () => {
  it('Silence goes out in a frame every 20 ms, numbered and timed in strings', async () => {
    const began = performance.now();
    const { stream, call } = await answered();
    for (let i = 1; i <= 10; i += 1) {
      const payload = Buffer.alloc(160, 0xff).toString('base64');
      expect(await stream.next('media')).toEqual({
        event: 'media',
        sequenceNumber: String(i + 1),
        media: { track: 'inbound', chunk: String(i), timestamp: String(20 * i), payload },
        streamSid: call.streamSid,
      });
    }
    expect(performance.now() - began).toBeGreaterThan(199);
  });

  it('Words go out in frames of 20 ms, the last filled up with silence, and are out when say resolves', async () => {
    const { stream, call } = await answered();
    call.say(audio(30, 1));
    await call.say(audio(10, 2));
    await call.hangUp();
    await stream.closed;
    const silence = audio(20, 0xff);
    const frames = stream.received.flatMap(({ media }) => Object(media).payload ?? []);
    const words = frames
      .map((payload) => Buffer.from(payload, 'base64'))
      .filter((frame) => !frame.equals(silence));
    expect(words).toEqual([
      Buffer.alloc(160, 1),
      Buffer.concat([audio(10, 1), audio(10, 0xff)]),
      Buffer.concat([audio(10, 2), audio(10, 0xff)]),
    ]);
  });
});

describe('a live caller', () => {
  /** Gives frames of a byte that counts up. */
  class Counter {
    #frames = 0;

    pull(frame: Uint8Array): void {
      this.#frames += 1;
      frame.fill(this.#frames);
    }
  }

  it('Each frame is what the microphone has by then, unless there is something to say', async () => {
    const { stream, call } = await answered({ microphone: new Counter() });
    const payloads: Buffer[] = [];
    for (let i = 0; i < 2; i += 1) payloads.push(payloadOf(await stream.next('media')));
    expect(payloads).toEqual([Buffer.alloc(160, 1), Buffer.alloc(160, 2)]);
    call.say(audio(20, 99));
    const next = [payloadOf(await stream.next('media')), payloadOf(await stream.next('media'))];
    expect(next).toContainEqual(Buffer.alloc(160, 99));
  });

  it('Every 20 ms tell what was said and heard in them, to the sample, and nothing is heard after clear', async () => {
    const moments: Moment[] = [];
    const { stream, call } = await answered({
      microphone: new Counter(),
      onMoment: (moment) => moments.push(moment),
    });
    stream.send(media(call, audio(60_000, 5)));
    await call.untilPlaying();
    for (let i = 0; i < 4; i += 1) await stream.next('media');
    stream.send({ event: 'clear', streamSid: call.streamSid });
    expect(await call.untilSilentFor(60)).toBe(true);
    await call.hangUp();
    expect(moments.slice(0, 3).map(({ said }) => said[0])).toEqual([1, 2, 3]);
    const heard = Buffer.concat(moments.map((moment) => moment.heard));
    expect(heard).toEqual(Buffer.from(call.heard.subarray(0, heard.length)));
    expect(heard.filter((byte) => byte === 5).length / 8).toBe(call.heardMs);
  });

  it('The caller’s words are told with when they began and ended, and whether the assistant spoke', async () => {
    const { stream, call, events } = await answered();
    const began = performance.now();
    await call.say(audio(200));
    const over = await toldOf(events, 'speech-stopped');
    expect(over.speechMs).toBe(200);
    expect(over.agoMs).toBeGreaterThanOrEqual(500);
    expect(over.agoMs).toBeLessThan(560);
    expect(performance.now() - began).toBeGreaterThan(699);

    stream.send(media(call, audio(60_000)));
    await call.untilPlaying();
    call.say(audio(200));
    const first = await toldOf(events, 'speech-started');
    expect(first.isOverAssistant).toBe(false);
    expect(first.agoMs).toBeGreaterThanOrEqual(60);
    await vi.waitFor(() => expect(only(events, 'speech-started')[1]?.isOverAssistant).toBe(true));
  });
});

describe('what the caller presses', () => {
  it('Each key goes out in a message of its own, numbered with the frames, and none after the end', async () => {
    const { stream, call, events } = await answered();
    const { streamSid } = call;
    await stream.next('media');
    call.press('1#');
    for (const digit of ['1', '#']) {
      const sequenceNumber = expect.stringMatching(/^\d+$/);
      const dtmf = { track: 'inbound_track', digit };
      expect(await stream.next('dtmf')).toEqual({ event: 'dtmf', streamSid, sequenceNumber, dtmf });
    }
    await call.hangUp();
    call.press('2');
    await stream.closed;
    const numbers = stream.received.slice(1).map(({ sequenceNumber }) => Number(sequenceNumber));
    expect(numbers).toEqual(numbers.map((_, i) => i + 1));
    expect(stream.received.filter(({ event }) => event === 'dtmf')).toHaveLength(2);
    expect(only(events, 'pressed').map(({ digits }) => digits)).toEqual(['1#']);
  });
});

describe('what the caller hears', () => {
  it('Audio is played in real time, and each mark comes back when it is due', async () => {
    const { stream, call, events } = await answered();
    const began = performance.now();
    stream.send(media(call, audio(60, 1)), mark(call, 'a'), media(call, audio(50, 2)), mark(call, 'b'));
    expect(await stream.next('mark')).toEqual({
      event: 'mark',
      sequenceNumber: expect.stringMatching(/^\d+$/),
      streamSid: call.streamSid,
      mark: { name: 'a' },
    });
    expect(performance.now() - began).toBeGreaterThan(59);
    expect(await stream.next('mark')).toMatchObject({ mark: { name: 'b' } });
    expect(performance.now() - began).toBeGreaterThan(109);

    expect(await call.untilSilentFor(30)).toBe(true);
    expect(performance.now() - began).toBeGreaterThan(139);
    expect(call.heard.filter((byte) => byte !== 0xff)).toEqual(
      Uint8Array.of(...audio(60, 1), ...audio(50, 2)),
    );
    expect(call.heardMs).toBe(110);
    expect(events.slice(2).map(({ type }) => type)).toEqual(['first-sound', 'silence']);
  });

  it('A mark comes back when it is due, not with the next frame', async () => {
    const { stream, call } = await answered();
    const lateMs: number[] = [];
    for (let i = 0; i < 10; i += 1) {
      await stream.next('media');
      const sent = performance.now();
      stream.send(media(call, audio(10)), mark(call, 'm'));
      await stream.next('mark');
      lateMs.push(performance.now() - sent - 10);
    }
    expect(Math.min(...lateMs)).toBeLessThan(6);
  });

  it('Clear stops the audio and brings back all marks at once', async () => {
    const { stream, call, events } = await answered();
    stream.send(media(call, audio(60_000)), mark(call, 'a'), mark(call, 'b'));
    expect(await call.untilPlaying()).toBe(true);
    stream.send({ event: 'clear', streamSid: call.streamSid });
    expect(await stream.next('mark')).toMatchObject({ mark: { name: 'a' } });
    expect(await stream.next('mark')).toMatchObject({ mark: { name: 'b' } });
    expect(call.heardMs).toBeLessThan(10_000);
    expect(events.at(-1)).toMatchObject({ type: 'cleared', unheardMs: 60_000 - call.heardMs });
    expect(Math.abs((only(events, 'cleared')[0]?.heardMs ?? 0) - call.heardMs)).toBeLessThan(1);
  });
});

describe('a message that Twilio would not take', () => {
  const streamSid = 'MZ1';
  const payload = 'AAAA';
  it.each([
    ['an array', []],
    ['an unknown event', { event: 'hello', streamSid, hello: {} }],
    ['one without streamSid', { event: 'clear' }],
    ['one of another stream', { event: 'clear', streamSid: 'MZ2' }],
    ['clear with a key too many', { event: 'clear', streamSid, clear: {} }],
    ['media without a payload', { event: 'media', streamSid, media: {} }],
    ['a payload that is not base64', { event: 'media', streamSid, media: { payload: 'A-_A' } }],
    ['media with a track', { event: 'media', streamSid, media: { payload, track: 'outbound' } }],
    ['media with a sequence number', { event: 'media', streamSid, media: { payload }, sequenceNumber: '1' }],
    ['a mark without a name', { event: 'mark', streamSid, mark: {} }],
  ])('Twilio does not take %s', (_, message) => {
    expect(readCommand(JSON.stringify(message), streamSid)).toBeUndefined();
  });

  it('A message that Twilio would not take has a warning, and the stream goes on', async () => {
    const { stream, call } = await answered();
    stream.socket.send('{');
    stream.socket.send(Buffer.from(JSON.stringify(mark(call, 'binary'))));
    stream.send(mark(call, 'text'));
    expect(await stream.next('mark')).toMatchObject({ mark: { name: 'text' } });
    expect(call.warnings.map(({ code }) => code)).toEqual([31951, 31950]);
  });
});

describe('the end of a call', () => {
  it('A caller who hangs up sends stop, closes with 1000, and neither speaks nor hears any more', async () => {
    const { stream, call, posts, events } = await answered();
    const { callSid, streamSid } = call;
    const said = call.say(audio(60_000));
    const playing = call.untilPlaying();
    stream.send(media(call, audio(20)));
    expect(await call.hangUp()).toEqual({ by: 'caller', code: 1000, reason: '' });
    expect((await stream.closed).code).toBe(1000);
    expect(stream.received.at(-1)).toEqual({
      event: 'stop',
      sequenceNumber: String(stream.received.length - 1),
      stop: { accountSid: posts['/incoming-call']?.form.AccountSid, callSid },
      streamSid,
    });
    await said;
    expect(await playing).toBe(false);
    expect(Object.keys(posts)).toEqual(['/incoming-call']);
    expect(events.map(({ type }) => type)).toEqual(['answered', 'stream-started', 'closed']);
  });

  it('A server that closes the stream is asked for the Connect action, in a signed request', async () => {
    const publicUrl = 'https://relay.example.com';
    const { stream, call, posts, events } = await answered({ authToken: 'secret', publicUrl });
    stream.socket.close(1011, 'no assistant');
    expect(await call.ended).toEqual({ by: 'server', code: 1011, reason: 'no assistant' });
    const action = '/call-ended?a=1&b=2';
    const { form, headers } = posts[action] ?? {};
    expect(form).toMatchObject({ CallSid: call.callSid, CallStatus: 'in-progress' });
    expect(headers?.['x-twilio-signature']).toBe(sign('secret', `${publicUrl}${action}`, form));
    expect(events.slice(-2).map(({ type }) => type)).toEqual(['closed', 'twiml']);
    expect(stream.received.map(({ event }) => event)).not.toContain('stop');
  });
});
