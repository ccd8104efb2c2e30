import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import formbody from '@fastify/formbody';
import websocket from '@fastify/websocket';
import fastify, { type FastifyReply, type FastifyRequest } from 'fastify';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { sign } from '../src/wire/auth.ts';
import { type CallerEvent, type CallOptions, type PhoneCall, placeCall } from './simulator/caller.ts';
import { readCommand } from './simulator/command.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const CONNECT = `<?xml version="1.0" encoding="UTF-8"?>
<Response><Connect action="/call-ended?a=1&amp;b=2"><Stream url="wss://relay.example.com/media-stream">
<Parameter name="token" value="&lt;&quot;a&quot; &amp; &#39;b&#x27;&gt;"/><Parameter value='2' name='n'/>
</Stream></Connect></Response>`;

interface Request {
  form: Record<string, string>;
  signature: unknown;
}

const unseen: Request = { form: {}, signature: undefined };

interface Message {
  event: string;
  sequenceNumber: string;
  media: { track: string; chunk: string; timestamp: string; payload: string };
  mark: { name: string };
  [key: string]: unknown;
}

/** The server's end of the stream, which sees everything that the caller sends. */
class Line {
  readonly messages: Message[] = [];
  readonly closed: Promise<number>;
  #seen = 0;
  #arrived: () => void = () => {};
  readonly socket: WebSocket;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('message', (data) => {
      this.messages.push(JSON.parse(String(data)));
      this.#arrived();
    });
    this.closed = once(socket, 'close').then(([code]) => code);
  }

  /** The next message of that kind after those that were waited for. */
  async next(event: string): Promise<Message> {
    for (;;) {
      const message = this.messages[this.#seen];
      if (message === undefined) await new Promise<void>((resolve) => (this.#arrived = resolve));
      else {
        this.#seen += 1;
        if (message.event === event) return message;
      }
    }
  }

  async take(count: number, event: string): Promise<Message[]> {
    const taken: Message[] = [];
    while (taken.length < count) taken.push(await this.next(event));
    return taken;
  }

  send(message: unknown): void {
    this.socket.send(
      typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message),
    );
  }
}

interface Answers {
  incoming?: (reply: FastifyReply) => unknown;
  upgrade?: (reply: FastifyReply) => unknown;
}

/** A server that answers as told; `line` resolves when a stream has been connected. */
async function serve({ incoming, upgrade }: Answers = {}) {
  const app = fastify({ forceCloseConnections: true });
  const posts: Record<string, Request> = {};
  const upgrades: FastifyRequest['headers'][] = [];
  let connected: (line: Line) => void = () => {};
  const line = new Promise<Line>((resolve) => {
    connected = resolve;
  });
  await app.register(formbody);
  await app.register(websocket);
  const record = (request: FastifyRequest<{ Body: Record<string, string> }>) => {
    const signature = request.headers['x-twilio-signature'];
    posts[request.url] = { form: { ...request.body }, signature };
  };
  app.post<{ Body: Record<string, string> }>('/incoming-call', (request, reply) => {
    record(request);
    return incoming === undefined ? reply.type('text/xml').send(CONNECT) : incoming(reply);
  });
  app.post<{ Body: Record<string, string> }>('/call-ended', (request, reply) => {
    record(request);
    return reply.type('text/xml').send('<Response><Hangup/></Response>');
  });
  app.addHook('preValidation', async (request, reply) => {
    if (request.url !== '/media-stream') return;
    upgrades.push(request.headers);
    await upgrade?.(reply);
  });
  app.get('/media-stream', { websocket: true }, (socket) => connected(new Line(socket)));
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  cleanups.push(() => app.close());
  return { url, posts, upgrades, line };
}

/** A call that was answered, seen from both ends. */
async function answered(options: Partial<CallOptions> = {}, answers: Answers = {}) {
  const server = await serve(answers);
  const events: CallerEvent[] = [];
  const onEvent = (event: CallerEvent) => {
    events.push(event);
    options.onEvent?.(event);
  };
  const call = await placeCall({ url: server.url, ...options, onEvent });
  cleanups.push(() => call.hangUp());
  const line = await server.line;
  return { ...server, call, line, events };
}

function audio(ms: number, byte = 1): Uint8Array {
  return new Uint8Array(8 * ms).fill(byte);
}

function media(call: PhoneCall, sound: Uint8Array) {
  const payload = Buffer.from(sound).toString('base64');
  return { event: 'media', streamSid: call.streamSid, media: { payload } };
}

function mark(call: PhoneCall, name: string) {
  return { event: 'mark', streamSid: call.streamSid, mark: { name } };
}

function clear(call: PhoneCall) {
  return { event: 'clear', streamSid: call.streamSid };
}

function withoutSilence(heard: Uint8Array): Uint8Array {
  return heard.filter((byte) => byte !== 0xff);
}

const xml = (twiml: string) => (reply: FastifyReply) => reply.type('text/xml').send(twiml);

describe('placing a call', () => {
  it('posts the form that Twilio posts, signed over the public address', async () => {
    const publicUrl = 'https://relay.example.com';
    const { call, posts } = await answered({ publicUrl, authToken: 'secret', from: '+1555', to: '+1666' });
    const { form, signature } = posts['/incoming-call'] ?? unseen;
    expect(form).toMatchObject({ CallSid: call.callSid, CallStatus: 'ringing', From: '+1555', To: '+1666' });
    expect(form).toMatchObject({ Caller: '+1555', Called: '+1666', Direction: 'inbound', FromCity: '' });
    expect(form.AccountSid).toMatch(/^AC[\da-f]{32}$/);
    expect(call.callSid).toMatch(/^CA[\da-f]{32}$/);
    expect(signature).toBe(sign('secret', `${publicUrl}/incoming-call`, form));
  });

  it('signs the upgrade over the wss address in the TwiML, and asks for nothing else', async () => {
    const { upgrades } = await answered({ authToken: 'secret' });
    expect(upgrades).toHaveLength(1);
    expect(upgrades[0]).toMatchObject({
      'x-twilio-signature': sign('secret', 'wss://relay.example.com/media-stream'),
    });
    expect(upgrades[0]).not.toHaveProperty('origin');
    expect(upgrades[0]).not.toHaveProperty('sec-websocket-protocol');
    expect(upgrades[0]).not.toHaveProperty('sec-websocket-extensions');
  });

  it('signs nothing without a token', async () => {
    const { posts, upgrades } = await answered();
    expect(posts['/incoming-call']?.signature).toBeUndefined();
    expect(upgrades[0]).not.toHaveProperty('x-twilio-signature');
  });

  it('introduces the stream with connected and start', async () => {
    const { call, line, posts, events } = await answered();
    const { callSid, streamSid } = call;
    await line.next('media');
    expect(line.messages.slice(0, 2)).toEqual([
      { event: 'connected', protocol: 'Call', version: '1.0.0' },
      {
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
      },
    ]);
    expect(events).toMatchObject([
      { type: 'answered', twiml: CONNECT },
      { type: 'stream-started', streamSid },
    ]);
  });
});

describe('a call that finds no stream', () => {
  const connect = (url: string) => xml(`<Response><Connect><Stream url="${url}"/></Connect></Response>`);

  it('ends with the TwiML that has none', async () => {
    const twiml = '<Response><Reject/></Response>';
    const { url } = await serve({ incoming: xml(twiml) });
    const call = await placeCall({ url });
    const reason = 'no Stream in the TwiML';
    expect(await call.ended).toEqual({ by: 'rejected', code: 1006, reason, httpStatus: 200, twiml });
    expect(await call.untilPlaying()).toBe(false);
    expect(call.heard).toHaveLength(0);
  });

  it.each<[string, Answers, number, number]>([
    ['an error', { incoming: (reply) => reply.code(500).type('text/xml').send('<Response/>') }, 500, 11200],
    ['JSON', { incoming: (reply) => reply.send({}) }, 200, 12300],
    ['a ws address', { incoming: connect('ws://a/b') }, 200, 31922],
    ['no host', { incoming: connect('wss://') }, 200, 31923],
    ['a query', { incoming: connect('wss://a/b?c=d') }, 200, 31920],
    ['a rejected upgrade', { upgrade: (reply) => reply.code(403).send('no') }, 403, 31920],
  ])('ends when it is answered with %s', async (_, answers, httpStatus, code) => {
    const { url } = await serve(answers);
    const events: CallerEvent[] = [];
    const call = await placeCall({ url, onEvent: (event) => events.push(event) });
    const end = await call.ended;
    const reason = expect.stringMatching(/answered with \d{3}|^Stream url ws/);
    expect(end).toEqual({ by: 'rejected', code: 1006, reason, httpStatus });
    expect(call.warnings).toEqual([{ code, detail: end.reason }]);
    expect(events.slice(-2)).toMatchObject([{ type: 'warning' }, { type: 'closed', by: 'rejected' }]);
  });

  it('ends when nobody listens', async () => {
    const call = await placeCall({ url: 'http://127.0.0.1:1' });
    expect(await call.ended).toMatchObject({ by: 'rejected', code: 1006 });
    expect(call.warnings).toMatchObject([{ code: 11200 }]);
  });
});

describe('what the caller says', () => {
  it('is silence in a frame every 20 ms, numbered and timed in strings', async () => {
    const began = performance.now();
    const { line, call } = await answered();
    const frames = await line.take(25, 'media');
    expect(performance.now() - began).toBeGreaterThan(499);
    expect(frames).toEqual(
      Array.from({ length: 25 }, (_, i) => ({
        event: 'media',
        sequenceNumber: String(i + 2),
        media: {
          track: 'inbound',
          chunk: String(i + 1),
          timestamp: String(20 * i + 20),
          payload: Buffer.alloc(160, 0xff).toString('base64'),
        },
        streamSid: call.streamSid,
      })),
    );
  });

  it('goes out in frames of 20 ms, in order, the last filled up with silence', async () => {
    const { line, call } = await answered({ speakSilence: false });
    call.say(audio(30, 1));
    await call.say(audio(10, 2));
    await call.hangUp();
    await line.closed;
    const frames = line.messages.filter(({ event }) => event === 'media');
    expect(frames.map(({ media }) => Buffer.from(media.payload, 'base64'))).toEqual([
      Buffer.alloc(160, 1),
      Buffer.concat([audio(10, 1), audio(10, 0xff)]),
      Buffer.concat([audio(10, 2), audio(10, 0xff)]),
    ]);
  });

  it('has been sent when say resolves', async () => {
    const { line, call } = await answered();
    await call.say(audio(200, 1));
    call.press('#');
    await line.next('dtmf');
    const loud = line.messages.filter(
      ({ event, media }) => event === 'media' && media.payload.startsWith('AQEB'),
    );
    expect(loud).toHaveLength(10);
  });

  it('is lost while muted, with no frames, and time goes on', async () => {
    const { line, call } = await answered();
    const before = await line.next('media');
    call.mute();
    await call.say(audio(100, 1));
    call.unmute();
    const after = await line.next('media');
    expect(Number(after.media.chunk)).toBe(Number(before.media.chunk) + 1);
    expect(Number(after.media.timestamp)).toBeGreaterThanOrEqual(Number(before.media.timestamp) + 120);
    expect(after.media.payload).toMatch(/^\/+w==$/);
  });

  it('includes the keys pressed', async () => {
    const { line, call } = await answered({ speakSilence: false });
    call.press('5');
    expect(await line.next('dtmf')).toEqual({
      event: 'dtmf',
      streamSid: call.streamSid,
      sequenceNumber: '2',
      dtmf: { track: 'inbound_track', digit: '5' },
    });
  });
});

describe('what the caller hears', () => {
  it('is played in real time, and each mark comes back when due', async () => {
    const { line, call, events } = await answered({ speakSilence: false });
    const began = performance.now();
    line.send(media(call, audio(60, 1)));
    line.send(mark(call, 'a'));
    line.send(media(call, audio(60, 2)));
    line.send(mark(call, 'b'));
    expect(await line.next('mark')).toEqual({
      event: 'mark',
      sequenceNumber: '2',
      streamSid: call.streamSid,
      mark: { name: 'a' },
    });
    expect(performance.now() - began).toBeGreaterThan(59);
    expect((await line.next('mark')).mark.name).toBe('b');
    expect(performance.now() - began).toBeGreaterThan(119);

    expect(await call.untilSilentFor(30)).toBe(true);
    expect(performance.now() - began).toBeGreaterThan(149);
    expect(withoutSilence(call.heard)).toEqual(Uint8Array.from([...audio(60, 1), ...audio(60, 2)]));
    expect(call.heardMs).toBe(120);
    const [, , sound, silence] = events;
    expect([sound?.type, silence?.type]).toEqual(['first-sound', 'silence']);
    expect((silence?.at ?? 0) - (sound?.at ?? 0)).toBeGreaterThan(119);
  });

  it('brings marks back when due, not with the next frame', async () => {
    const { line, call } = await answered();
    const took: number[] = [];
    for (let i = 0; i < 10; i += 1) {
      await line.next('media');
      const sent = performance.now();
      line.send(media(call, audio(10)));
      line.send(mark(call, 'm'));
      await line.next('mark');
      took.push(performance.now() - sent);
    }
    expect(Math.min(...took)).toBeLessThan(16);
  });

  it('can be waited for', async () => {
    const { line, call } = await answered();
    const playing = call.untilPlaying();
    line.send(media(call, audio(1000)));
    expect(await playing).toBe(true);
    expect(await call.untilPlaying()).toBe(true);
    const silent = call.untilSilentFor(0);
    line.send(clear(call));
    expect(await silent).toBe(true);
  });

  it('stops at a clear, which brings back all marks at once', async () => {
    const { line, call, events } = await answered({ speakSilence: false });
    line.send(media(call, audio(60_000)));
    line.send(mark(call, 'a'));
    line.send(mark(call, 'b'));
    await call.untilPlaying();
    line.send(clear(call));
    expect((await line.take(2, 'mark')).map(({ mark }) => mark.name)).toEqual(['a', 'b']);
    const cleared = events.at(-1);
    expect(cleared).toMatchObject({ type: 'cleared', unheardMs: 60_000 - call.heardMs });
    expect(call.heardMs).toBeLessThan(10_000);
    expect(withoutSilence(call.heard)).toHaveLength(8 * call.heardMs);
  });

  it('is 10 minutes at most', async () => {
    const { line, call } = await answered();
    for (let minute = 0; minute < 10; minute += 1) line.send(media(call, audio(60_000)));
    line.send(media(call, audio(1000)));
    line.send(clear(call));
    line.send(mark(call, 'done'));
    await line.next('mark');
    expect(call.warnings).toMatchObject([{ code: 31931 }]);
  });
});

describe('a message that Twilio would not take', () => {
  const streamSid = 'MZ1';
  const payload = 'AAAA';
  it.each<[string, unknown]>([
    ['bad JSON', '{'],
    ['an array', []],
    ['no event', { streamSid }],
    ['an unknown event', { event: 'hello', streamSid, hello: {} }],
    ['no streamSid', { event: 'clear' }],
    ['another streamSid', { event: 'clear', streamSid: 'MZ2' }],
    ['stream_sid', { event: 'clear', stream_sid: streamSid }],
    ['clear with a key too many', { event: 'clear', streamSid, clear: {} }],
    ['media without media', { event: 'media', streamSid }],
    ['media that is text', { event: 'media', streamSid, media: payload }],
    ['media without payload', { event: 'media', streamSid, media: {} }],
    ['a payload that is not base64', { event: 'media', streamSid, media: { payload: 'A-_A' } }],
    ['a track', { event: 'media', streamSid, media: { payload, track: 'outbound' } }],
    ['a sequence', { event: 'media', streamSid, media: { payload }, sequenceNumber: '1' }],
    ['a mark without name', { event: 'mark', streamSid, mark: {} }],
    ['a numbered mark', { event: 'mark', streamSid, mark: { name: 1 } }],
  ])('is %s', (_, message) => {
    const text = typeof message === 'string' ? message : JSON.stringify(message);
    expect(readCommand(text, streamSid)).toBeUndefined();
  });

  it('is ignored with a warning each time, and the stream goes on', async () => {
    const { line, call, events } = await answered();
    const numbered = { ...media(call, audio(20)), sequenceNumber: '1' };
    line.send('{');
    line.send(numbered);
    line.send(Buffer.from(JSON.stringify(mark(call, 'binary'))));
    line.send(mark(call, 'text'));
    expect((await line.next('mark')).mark.name).toBe('text');
    expect(call.warnings).toEqual([
      { code: 31951, detail: '{' },
      { code: 31951, detail: JSON.stringify(numbered).slice(0, 200) },
      { code: 31950, detail: 'binary frame' },
    ]);
    expect(events.slice(-3).map(({ type }) => type)).toEqual(['warning', 'warning', 'warning']);
    expect(withoutSilence(call.heard)).toHaveLength(0);
  });
});

describe('the end of a call', () => {
  it.each(['hangUp', 'redirect'] as const)('is stop and close 1000 on %s', async (way) => {
    const { line, call, posts, events } = await answered();
    const { callSid, streamSid } = call;
    await line.next('media');
    const said = call.say(audio(60_000));
    const playing = call.untilPlaying();
    expect(await call[way]()).toEqual({ by: 'caller', code: 1000, reason: '' });
    expect(await line.closed).toBe(1000);
    const stop = line.messages.at(-1);
    expect(stop).toEqual({
      event: 'stop',
      sequenceNumber: String(line.messages.length - 1),
      stop: { accountSid: posts['/incoming-call']?.form.AccountSid, callSid },
      streamSid,
    });
    expect(await said).toBeUndefined();
    expect(await call.say(audio(20))).toBeUndefined();
    expect(await playing).toBe(false);
    expect(Object.keys(posts)).toEqual(['/incoming-call']);
    expect(events.at(-1)).toMatchObject({ type: 'closed', by: 'caller', code: 1000 });
  });

  it('is the end of what happens, though messages are still under way', async () => {
    const { line, call, events } = await answered();
    line.send(Buffer.from('binary'));
    line.send(media(call, audio(20)));
    await call.hangUp();
    expect(events.map(({ type }) => type)).toEqual(['answered', 'stream-started', 'closed']);
  });

  it('takes 2 s at most, though the server never answers the close', async () => {
    const { line, call } = await answered();
    // A server that reads nothing doesn't answer.
    line.socket.pause();
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    cleanups.push(
      () => line.socket.resume(),
      () => vi.useRealTimers(),
    );
    const ended = call.hangUp();
    vi.advanceTimersByTime(2000);
    expect(await ended).toMatchObject({ by: 'caller', code: 1006 });
  });

  it('is a reset without stop when the connection drops', async () => {
    const { line, call } = await answered();
    await line.next('media');
    expect(await call.drop()).toMatchObject({ by: 'caller', code: 1006 });
    expect(await line.closed).toBe(1006);
    expect(line.messages.map(({ event }) => event)).not.toContain('stop');
  });

  it('runs the Connect action when the server closes', async () => {
    const { line, call, posts, events } = await answered({
      authToken: 'secret',
      publicUrl: 'https://a.example',
    });
    line.send(media(call, audio(60_000)));
    await call.untilPlaying();
    line.socket.close(1011, 'no assistant');
    const twiml = '<Response><Hangup/></Response>';
    expect(await call.ended).toEqual({ by: 'server', code: 1011, reason: 'no assistant', twiml });
    const action = '/call-ended?a=1&b=2';
    const { form, signature } = posts[action] ?? unseen;
    expect(form).toMatchObject({ CallSid: call.callSid, CallStatus: 'in-progress', FromCity: '' });
    expect(signature).toBe(sign('secret', `https://a.example${action}`, form));
    expect(events.slice(-2)).toMatchObject([
      { type: 'closed', by: 'server', code: 1011 },
      { type: 'twiml', twiml },
    ]);
    expect(line.messages.map(({ event }) => event)).not.toContain('stop');
  });

  it('is the last that the caller hears', async () => {
    const lengths: number[] = [];
    const { line, call } = await answered({
      onEvent: ({ type }) => {
        if (type === 'closed') lengths.push(call.heard.length);
      },
    });
    line.send(media(call, audio(60_000)));
    await call.untilPlaying();
    line.socket.close(1000, '');
    await call.ended;
    expect(lengths).toEqual([call.heard.length]);
  });

  it('has no TwiML when the server closes and there is no action', async () => {
    const twiml = '<Response><Connect><Stream url="wss://a.example/media-stream"/></Connect></Response>';
    const { line, call, posts } = await answered({}, { incoming: xml(twiml) });
    line.socket.close(1000, '');
    expect(await call.ended).toEqual({ by: 'server', code: 1000, reason: '' });
    expect(call.warnings).toEqual([]);
    expect(Object.keys(posts)).toEqual(['/incoming-call']);
  });

  it('may come from within an event, and nothing is sent after it', async () => {
    const hung: Promise<unknown>[] = [];
    const { line, call } = await answered({
      onEvent: ({ type }) => {
        if (type === 'first-sound') hung.push(call.hangUp());
      },
    });
    line.send(media(call, audio(1000)));
    await line.closed;
    expect(line.messages.at(-1)?.event).toBe('stop');
    expect(hung).toHaveLength(1);

    await call.ended;
    const timers = vi.spyOn(globalThis, 'setTimeout');
    cleanups.push(() => timers.mockRestore());
    // Only time can show that no timer is left to set itself again.
    await setTimeout(30);
    expect(timers).not.toHaveBeenCalled();
  });
});
