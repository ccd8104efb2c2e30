import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { beforeEach, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { issueToken } from '../src/wire/auth.ts';
import { startServer } from './support/call.ts';
import { AUTH_TOKEN, GUARDED, SIGNATURE } from './support/config.ts';
import { heapMiB } from './support/memory.ts';
import { dialStream, type FakeOpenAI, type OpenAIPeer, type TwilioPeer } from './support/peers.ts';
import { seeded } from './support/random.ts';
import { rounds } from './support/rounds.ts';
import type { TestServer } from './support/server.ts';
import { audio, STREAM } from './support/wire.ts';

const random = seeded(64);
const upTo = (most: number): number => Math.floor(random() * (most + 1));
function pick<T>(...values: [T, ...T[]]): T {
  return values[upTo(values.length - 1)] ?? values[0];
}

const twilioMessages = [
  { event: 'connected', protocol: 'Call', version: '1.0.0' },
  {
    event: 'start',
    streamSid: STREAM,
    start: { callSid: 'CA1', mediaFormat: {}, customParameters: { token: 'x' } },
  },
  { event: 'media', streamSid: STREAM, media: { track: 'inbound', timestamp: '20', payload: audio(20) } },
  { event: 'dtmf', streamSid: STREAM, dtmf: { digit: '1' } },
  { event: 'mark', streamSid: STREAM, mark: { name: 'audio-1' } },
  { event: 'stop', streamSid: STREAM },
] as const;

const openaiEvents = [
  { type: 'session.created', session: { id: 's' } },
  { type: 'session.updated', session: { audio: { input: { format: { type: 'audio/pcm' } } } } },
  { type: 'input_audio_buffer.speech_started', audio_start_ms: 5 },
  { type: 'input_audio_buffer.speech_stopped', audio_end_ms: 5 },
  { type: 'response.created', response: { id: 'r' } },
  { type: 'response.output_audio.delta', response_id: 'r', item_id: 'a', delta: audio(20) },
  {
    type: 'response.done',
    response: { id: 'r', status: 'failed', status_details: { error: { code: 'x' } }, usage: {} },
  },
  { type: 'error', error: { code: 'invalid_value', message: 'm' } },
] as const;

function nonsense(): unknown {
  return pick<unknown>(
    null,
    true,
    -1,
    1e308,
    '',
    '\u0000',
    '__proto__',
    'é"\\',
    [],
    {},
    [[[]]],
    { __proto__: null, constructor: 1 },
    'x'.repeat(upTo(30_000)),
    'A'.repeat(4 * upTo(5_000)),
    '99999999999999999999',
    '-20',
    `${upTo(100_000)}`,
  );
}

/** A copy of `value` with a part replaced or missing. */
function mangled(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || random() < 0.15) return nonsense();
  const copy: Record<string, unknown> = { ...value };
  const key = pick('extra', ...Object.keys(copy));
  if (random() < 0.2) delete copy[key];
  else copy[key] = mangled(copy[key]);
  return copy;
}

/** A message that neither vendor sends, as text or bytes. */
function hostileMessage(templates: readonly object[]): string | Buffer {
  const template = templates[upTo(templates.length - 1)];
  const text = JSON.stringify(random() < 0.2 ? template : mangled(template));
  switch (upTo(6)) {
    case 0:
      return text.slice(0, upTo(text.length));
    case 1:
      return Buffer.from(text);
    case 2:
      return `${'['.repeat(upTo(20_000))}${text}`;
    case 3:
      return text.replace(/[{}":,]/g, (mark) => (random() < 0.1 ? '' : mark));
    default:
      return text;
  }
}

let openai: FakeOpenAI;
let server: TestServer;

beforeEach(async () => {
  ({ openai, server } = await startServer(GUARDED));
});

interface LiveCall {
  twilio: TwilioPeer;
  session: OpenAIPeer;
}

async function liveCall(): Promise<LiveCall> {
  const twilio = await dialStream(server.origin, SIGNATURE);
  const callSid = `CA${randomUUID()}`;
  twilio.start(callSid, issueToken(AUTH_TOKEN, callSid, Date.now()));
  const session = await openai.dialled();
  await session.configure();
  await session.next('response.create');
  openai.peers.splice(0);
  return { twilio, session };
}

const isOpen = ({ twilio, session }: LiveCall): boolean =>
  twilio.socket.readyState === WebSocket.OPEN && session.socket.readyState === WebSocket.OPEN;

/** Expects that audio passes both ways. */
async function expectAlive({ twilio, session }: LiveCall, n: number): Promise<void> {
  const payload = Buffer.from(`frame ${n}`).toString('base64');
  twilio.media(0, payload);
  expect((await session.next()).audio).toBe(payload);
  session.say(20, `r${n}`, `a${n}`);
  const { mark } = await twilio.next('mark');
  twilio.send({ event: 'mark', streamSid: STREAM, mark });
}

it('Hostile messages from both sides harm neither the process nor another call', {
  timeout: 60_000,
}, async () => {
  const other = await liveCall();
  let victim = await liveCall();
  const heaps: number[] = [];
  let calls = 0;
  const quarter = rounds(10_000) / 4;
  for (let n = 0; n < 4 * quarter; n++) {
    if (!isOpen(victim)) {
      victim.twilio.socket.terminate();
      victim = await liveCall();
      calls += 1;
    }
    const fromTwilio = random() < 0.5;
    const target = fromTwilio ? victim.twilio.socket : victim.session.socket;
    target.send(hostileMessage(fromTwilio ? twilioMessages : openaiEvents));
    if (n % 20 === 0) await expectAlive(other, n / 20);
    if (n % quarter === quarter - 1) {
      server.log.lines.splice(0);
      other.twilio.forget();
      other.session.forget();
      heaps.push(heapMiB());
    }
  }
  expect(calls).toBeGreaterThan(quarter / 25);
  const [, early = 0, , late = 0] = heaps;
  expect(late - early).toBeLessThan(2);
});

it('Hostile requests get 4xx or nothing, and another call goes on', {
  timeout: 60_000,
}, async () => {
  const other = await liveCall();
  const { port } = new URL(server.origin);
  for (let n = 0; n < rounds(1_000); n++) {
    const method = pick('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'BREW', '');
    const path = pick(
      '/incoming-call',
      '/call-ended',
      '/media-stream',
      '/media-stream/../',
      '/%00',
      `/${'x'.repeat(upTo(9_000))}`,
    );
    const body = pick('', 'a=1&a=2', '{"a":1}', 'x'.repeat(upTo(70_000)), '%E0%A4%A');
    const headers = [
      pick('Host: relay.example.com', 'Host: "/><x>', 'Host:', `Host: ${'h'.repeat(upTo(9_000))}`),
      pick('Content-Type: application/x-www-form-urlencoded', 'Content-Type: application/json', 'X: y'),
      pick(
        'X-Twilio-Signature: AAAA',
        `X-Twilio-Signature: ${'A'.repeat(upTo(5_000))}`,
        `X-Twilio-Signature: ${SIGNATURE['x-twilio-signature']}`,
      ),
      pick(
        'Upgrade: websocket\r\nConnection: Upgrade',
        'Upgrade: websocket',
        'Connection: close',
        'X-Forwarded-Host: a,b,,',
      ),
      pick('Sec-WebSocket-Version: 13', 'Sec-WebSocket-Version: 99', 'Z: 0'),
      pick('Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Key: short', 'Z: 0'),
      pick(
        `Content-Length: ${Buffer.byteLength(body)}`,
        'Content-Length: -1',
        'Content-Length: 5',
        'Transfer-Encoding: chunked',
      ),
    ];
    const socket = connect(Number(port), '127.0.0.1');
    let response = '';
    const closed = new Promise((resolve) => {
      socket.on('close', resolve);
    });
    socket.on('error', () => {});
    socket.setEncoding('latin1').on('data', (text: string) => {
      response += text;
      socket.end();
    });
    socket.end(`${method} ${path} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n${body}`);
    socket.setTimeout(200, () => socket.destroy());
    await closed;
    expect(response).toMatch(/^(HTTP\/1\.1 (101|4\d\d) |$)/);
    expect(response).not.toContain('<Response>');
    if (n % 20 === 0) await expectAlive(other, n / 20);
  }
});
