import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { issueToken } from '../src/wire/auth.ts';
import { readConnect } from './simulator/webhook.ts';
import { startServer } from './support/call.ts';
import { AUTH_TOKEN, GUARDED, SIGNATURE } from './support/config.ts';
import { CALL, dialStream, type FakeOpenAI, type TwilioPeer } from './support/peers.ts';
import { ring } from './support/ring.ts';
import type { TestServer } from './support/server.ts';
import { audio } from './support/wire.ts';

let openai: FakeOpenAI;
let server: TestServer;

beforeEach(async () => {
  ({ openai, server } = await startServer({ ...GUARDED, MAX_CONCURRENT_CALLS: '2' }));
});

afterEach(() => {
  vi.useRealTimers();
});

/** The parameters of a stream. */
interface Brought {
  token?: string;
  call?: string;
}

/** The webhook's TwiML, and the parameters in it. */
async function webhook(): Promise<Brought & { body: string }> {
  const body = await ring(server);
  return { body, ...readConnect(body)?.parameters };
}

async function stream({ token, call }: Brought): Promise<TwilioPeer> {
  const twilio = await dialStream(server.origin, SIGNATURE);
  twilio.start(CALL, token, call);
  return twilio;
}

/** Begins a call, and ends it. */
async function wholeCall(brought: Brought): Promise<void> {
  const twilio = await stream(brought);
  await openai.dialled();
  twilio.stop();
  await twilio.closed;
  await vi.waitFor(() => expect(server.calls.live).toBe(0));
}

describe('A replayed request', () => {
  it('cannot use a token twice, even after its call', async () => {
    const brought = await webhook();
    await wholeCall(brought);
    const second = await stream(brought);
    expect((await second.closed).code).toBe(1008);
    expect(openai.peers).toHaveLength(1);
  });

  it('gets a redirect instead of a token while its call is live', async () => {
    const brought = await webhook();
    await stream(brought);
    await server.log.find('call started');
    const { body } = await webhook();
    expect(body).toContain('<Response><Pause length="1"/><Redirect>/incoming-call</Redirect></Response>');
  });

  it('gets a redirect while its call has the last place', async () => {
    await stream(await webhook());
    const other = await dialStream(server.origin, SIGNATURE);
    other.start('CA-other', issueToken(AUTH_TOKEN, 'CA-other', Date.now()));
    await Promise.all([openai.dialled(), openai.dialled(), server.log.find('call started')]);
    expect((await webhook()).body).toContain('<Redirect>');
  });

  it('gets the apology after five streams of its call', async () => {
    for (let n = 0; n < 5; n++) {
      vi.setSystemTime(Date.now() + 1);
      await wholeCall(await webhook());
    }
    vi.useRealTimers();
    expect((await webhook()).body).toMatch(/<Response><Say>I am sorry.*<\/Say><Hangup\/><\/Response>/);
    const sixth = await stream({ token: issueToken(AUTH_TOKEN, CALL, Date.now() + 10) });
    expect((await sixth.closed).code).toBe(1008);
    expect(openai.peers).toHaveLength(5);
  });
});

describe('Streams that do not start', () => {
  it('push out the oldest of them above MAX_CONCURRENT_CALLS and ten', async () => {
    const first = await dialStream(server.origin, SIGNATURE);
    for (let n = 0; n < 11; n++) await dialStream(server.origin, SIGNATURE);
    expect(first.socket.readyState).toBe(WebSocket.OPEN);
    const last = await dialStream(server.origin, SIGNATURE);
    expect((await first.closed).code).toBe(1008);
    const { token, call } = await webhook();
    last.start(CALL, token, call);
    await openai.dialled();
  });

  it.each<[string, (twilio: TwilioPeer) => void]>([
    ['media', (twilio) => twilio.media(0)],
    ['stop', (twilio) => twilio.stop()],
    ['what is no message', (twilio) => twilio.socket.send('{')],
    ['a binary message', (twilio) => twilio.socket.send(Buffer.from('{"event":"connected"}'))],
  ])('are closed with 1008 when they begin with %s', async (_, begin) => {
    const twilio = await dialStream(server.origin, SIGNATURE);
    begin(twilio);
    expect((await twilio.closed).code).toBe(1008);
  });
});

describe('A flood on a stream', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  });

  /** Ticks the streams once the server has read everything. */
  async function tick(twilio: TwilioPeer): Promise<void> {
    const answered = new Promise((resolve) => twilio.socket.once('pong', resolve));
    twilio.socket.ping();
    await answered;
    vi.advanceTimersByTime(250);
  }

  it.each<[string, (twilio: TwilioPeer) => void]>([
    ['pongs', (twilio) => twilio.socket.pong('x'.repeat(125))],
    ['messages of another stream', (twilio) => twilio.send({ event: 'stop', streamSid: 'x'.repeat(150) })],
    ['its own media', (twilio) => twilio.media(0, audio(20))],
  ])('of %s ends it above 1 MiB in 5 s', async (kind, send) => {
    const brought = await webhook();
    const twilio = await stream(brought);
    await openai.dialled();
    const size = kind === 'its own media' ? 330 : 130;
    for (let bytes = 0; bytes < 1_300_000; bytes += size) send(twilio);
    await tick(twilio);
    expect((await twilio.closed).code).toBe(1008);
  });

  it.each<[string, (twilio: TwilioPeer) => void]>([
    ['pongs', (twilio) => twilio.socket.pong('x'.repeat(125))],
    ['greetings', (twilio) => twilio.send({ event: 'connected', protocol: 'Call', version: '1.0.0' })],
  ])('of %s ends it before it starts', async (_, send) => {
    const twilio = await dialStream(server.origin, SIGNATURE);
    for (let n = 0; n <= 10; n++) send(twilio);
    await twilio.closed;
    expect(await server.log.find('stream rejected')).toMatchObject({ reason: 'twilio flooded' });
  });

  it('of fragments ends it above 64 KiB', async () => {
    const twilio = await dialStream(server.origin, SIGNATURE);
    for (let n = 0; n < 700; n++) twilio.socket.send('x'.repeat(100), { fin: false });
    expect((await twilio.closed).code).toBe(1009);
  });

  it('is not half a minute of a call that comes at once', async () => {
    const brought = await webhook();
    const twilio = await stream(brought);
    await openai.dialled();
    for (let n = 0; n < 1_500; n++) twilio.media(n * 20);
    await tick(twilio);
    expect(server.calls.live).toBe(1);
  });
});
