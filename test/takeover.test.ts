import { afterEach, describe, expect, it, vi } from 'vitest';
import { liveCall, startCall, startServer } from './support/call.ts';
import { CALL, dialStream, type OpenAIPeer, readyCall, type TwilioPeer } from './support/peers.ts';
import { begin } from './support/ring.ts';
import type { TestServer } from './support/server.ts';
import { audio, STREAM, speechStarted } from './support/wire.ts';

afterEach(() => {
  vi.useRealTimers();
});

const FAILED = 'session failed, switching';
const EXPIRES = 'session expiring, switching';

/** A call after its greeting. */
async function greetedCall(env: Record<string, string> = {}) {
  const call = await liveCall(env);
  await greet(call.session);
  await call.twilio.next('mark');
  return call;
}

async function greet(session: OpenAIPeer): Promise<void> {
  const text = { response_id: 'r1', item_id: 'a1' };
  session.send(
    { type: 'response.created', response: { id: 'r1' } },
    { type: 'conversation.item.added', item: { id: 'a1', type: 'message', role: 'assistant' } },
    { type: 'response.output_audio_transcript.done', ...text, transcript: 'Hello there!' },
  );
  session.say(100, 'r1', 'a1');
  session.send({ type: 'response.done', response: { id: 'r1', status: 'completed' } });
  await session.settle();
}

/** Greets, and has the caller hear all of it. */
async function hearGreeting({ twilio, session }: { twilio: TwilioPeer; session: OpenAIPeer }): Promise<void> {
  await greet(session);
  const { mark } = await twilio.next('mark');
  twilio.send({ event: 'mark', streamSid: STREAM, mark });
  await twilio.settle();
}

/** Expects that the session is briefed and asked to go on, and that the caller hears it. */
async function expectGoesOn(session: OpenAIPeer, twilio: TwilioPeer) {
  await session.configure();
  const said = await session.next('conversation.item.create');
  expect(said.item).toMatchObject({ role: 'assistant', content: [{ text: 'Hello there!' }] });
  const { item } = await session.next('conversation.item.create');
  expect(JSON.stringify(item)).toMatch(/"system".*go on in one short sentence/);
  await session.next('response.create');
  session.say(200, 'r9', 'a9');
  expect(await twilio.next('media')).toMatchObject({ media: { payload: audio(200) } });
  session.send({ type: 'response.done', response: { id: 'r9', status: 'completed' } });
  await session.settle();
}

/** Ways to lose a session for a passing reason, and the close in the log. */
const ways: [string, (session: OpenAIPeer) => void, object][] = [
  ['is reset', (session) => session.socket.terminate(), { code: 1006 }],
  ['sends more than 4 MiB', (session) => session.socket.send('x'.repeat(5_000_000)), { code: 1006 }],
  [
    'has lasted 60 minutes',
    (session) => {
      session.send({ type: 'error', error: { code: 'session_expired', message: '60 minutes' } });
      session.socket.close(1001, '60 minutes');
    },
    { reason: '60 minutes' },
  ],
];

it.each(ways)('A session that %s is replaced by another', async (_, leave, closed) => {
  const { openai, server, twilio, session } = await greetedCall();
  leave(session);
  await expectGoesOn(await openai.dialled(), twilio);
  expect(await server.log.find(FAILED)).toMatchObject({
    ...{ reason: 'openai closed', closed, sessionId: 'sess_1' },
  });
  twilio.stop();
  expect(await server.log.find('call ended')).toMatchObject({ takeovers: 1 });
});

it('A session is not lost by an error that it went on after', async () => {
  const { server, session } = await greetedCall();
  session.send(
    { type: 'error', error: { code: 'response_cancel_not_active', message: 'no' } },
    speechStarted,
  );
  await session.settle();
  session.socket.terminate();
  expect(await server.log.find(FAILED)).not.toHaveProperty('error');
});

describe('A lost session', () => {
  it('is replaced by the standby session first if its caller waits for a reply', async () => {
    const { openai, server } = await startServer({ STANDBY_SESSIONS: '1' });
    const standby = async () => {
      server.log.lines.splice(0);
      const session = await openai.dialled();
      await session.configure();
      await server.log.find('standby session ready');
      return session;
    };
    const first = await standby();
    await startCall(server);
    await first.next('response.create');
    const second = await standby();
    const waiting = await dialStream(server.origin);
    waiting.start(CALL.replace('CA0', 'CA1'));
    await second.next('response.create');
    second.send(speechStarted);
    await second.settle();
    const third = await standby();
    // Node closes the last handle first.
    second.socket.terminate();
    first.socket.terminate();
    await third.next('conversation.item.create');
    third.say(200, 'r9', 'a9');
    expect(await waiting.next('media')).toMatchObject({ media: { payload: audio(200) } });
  });

  it("leaves the caller's words to the next, from the first byte of its close", async () => {
    const { openai, twilio, session } = await greetedCall();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    // Nobody answers this close, so it takes a while.
    session.socket.pause();
    session.socket.close(1001);
    await vi.waitFor(() => expect(session.socket.readyState).toBe(session.socket.CLOSING));
    await twilio.settle();
    for (let n = 0; n < 20; n++) twilio.media(n * 20, audio(20, n));
    await twilio.settle();
    vi.advanceTimersByTime(800);
    const next = await openai.dialled();
    for (let n = 20; n < 40; n++) twilio.media(n * 20, audio(20, n));
    await twilio.settle();
    session.socket.terminate();
    await next.configure();
    twilio.media(800, audio(20, 40));
    const heard: unknown[] = [];
    while (heard.length < 41) heard.push((await next.next('input_audio_buffer.append')).audio);
    expect(heard).toEqual(Array.from({ length: 41 }, (_, n) => audio(20, n)));
  });

  it('ends the call if it is the third within a minute', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const { openai, server, twilio, session } = await greetedCall();
    session.socket.terminate();
    for (const pause of [0, 60_000]) {
      const next = await openai.dialled();
      await expectGoesOn(next, twilio);
      vi.advanceTimersByTime(pause);
      next.socket.terminate();
    }
    const third = await openai.dialled();
    await expectGoesOn(third, twilio);
    third.socket.terminate();
    const fourth = await openai.dialled();
    await expectGoesOn(fourth, twilio);
    fourth.socket.terminate();
    await twilio.closed;
    expect(await server.lastWords(CALL)).toContain('<Say>I am sorry, something has gone wrong');
    expect(await server.log.find('call ended')).toMatchObject({ takeovers: 4, reason: 'openai closed' });
  });

  it('ends the call if it is the sixth', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const { openai, server, twilio, session } = await greetedCall();
    let last = session;
    for (let n = 0; n < 5; n++) {
      last.socket.terminate();
      last = await openai.dialled();
      await expectGoesOn(last, twilio);
      vi.advanceTimersByTime(60_000);
    }
    last.socket.terminate();
    await twilio.closed;
    expect(await server.lastWords(CALL)).toContain('<Say>I am sorry, something has gone wrong');
    expect(openai.handshakes).toBe(6);
  });

  it('is dialled again at once, then after 2 s', async () => {
    const { openai, server } = await startServer({}, (handshake) =>
      [2, 3].includes(handshake) ? 503 : undefined,
    );
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { twilio, session } = await readyCall(openai, server.origin);
    await greet(session);
    await twilio.next('mark');
    session.socket.terminate();
    await expect.poll(() => server.log.messages(({ msg }) => msg === 'dialling again')).toHaveLength(2);
    vi.advanceTimersByTime(1_999);
    expect(openai.handshakes).toBe(3);
    vi.advanceTimersByTime(1);
    await expectGoesOn(await openai.dialled(), twilio);
  });

  it('is not replaced if the caller leaves before the next try', async () => {
    const { openai, server } = await startServer({}, (handshake) => (handshake > 1 ? 503 : undefined));
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { twilio, session } = await readyCall(openai, server.origin);
    await greet(session);
    session.socket.terminate();
    await expect.poll(() => server.log.messages(({ msg }) => msg === 'dialling again')).toHaveLength(2);
    twilio.stop();
    expect(await server.log.find('call ended')).toMatchObject({ reason: 'twilio stopped' });
    vi.advanceTimersByTime(2_000);
    // A dial would have arrived by then.
    for (let n = 0; n < 3; n++) await fetch(server.origin);
    expect(openai.handshakes).toBe(3);
  });
});

describe('An expiring session', () => {
  const TICK = 250;

  /** A call whose session expires in `ms`, with fake ticks. */
  async function expiringCall(ms: number, env: Record<string, string> = {}, aheadMs = 0) {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const { openai, server } = await startServer(env);
    openai.aheadMs = aheadMs;
    const twilio = await startCall(server);
    const session = await openai.dialled();
    session.sessionExpiresAt = (Date.now() + ms) / 1_000;
    await session.configure();
    await session.next('response.create');
    return { openai, server, twilio, session };
  }

  /** Ticks once, and waits until a dial would have arrived. */
  async function tick({ server }: { server: TestServer }): Promise<void> {
    vi.advanceTimersByTime(TICK);
    for (let n = 0; n < 3; n++) await fetch(server.origin);
  }

  /** Readies the next session, and waits until it has taken over. */
  async function expectTakenOver(call: Awaited<ReturnType<typeof expiringCall>>, expiresAt?: number) {
    const next = await call.openai.dialled();
    next.sessionExpiresAt = expiresAt;
    await next.configure();
    await expect
      .poll(async () => {
        await tick(call);
        return call.server.log.messages();
      })
      .toContain(EXPIRES);
    return next;
  }

  it.each([
    ['has more than 5 minutes left', 301_000, {}],
    ['outlasts its call', 240_000, { MAX_CALL_SECONDS: '180' }],
    ['says that it has expired already', -60_000, {}],
    ['is new, and the clock is 59 minutes ahead', 60_000, {}, -3_540_000],
  ])('stays if it %s', async (_, ms, env, aheadMs = 0) => {
    const call = await expiringCall(ms, env, aheadMs);
    await hearGreeting(call);
    await tick(call);
    await tick(call);
    expect(call.openai.handshakes).toBe(1);
  });

  it('is replaced in the first pause of its last 5 minutes, silently', async () => {
    const call = await expiringCall(299_000);
    const { openai, server, session, twilio } = call;
    session.send({ type: 'input_audio_buffer.speech_started' });
    await session.settle();
    await tick(call);
    await tick(call);
    expect(openai.handshakes).toBe(1);
    session.send({ type: 'input_audio_buffer.speech_stopped' });
    // The model has nothing to say to that.
    begin(session, 'r2');
    session.send({ type: 'response.done', response: { id: 'r2', status: 'completed', output: [] } });
    await session.settle();
    await tick(call);
    const next = await expectTakenOver(call);
    const { item } = await next.next('conversation.item.create');
    expect(JSON.stringify(item)).toContain('wait for the caller to speak');
    expect((await session.closed).code).toBe(1000);
    twilio.media(0, audio(20, 7));
    expect(await next.next()).toMatchObject({ type: 'input_audio_buffer.append', audio: audio(20, 7) });
    twilio.stop();
    expect(await server.log.find('call ended')).toMatchObject({ takeovers: 1 });
  });

  it('is replaced in its last 30 s, pause or not', async () => {
    const call = await expiringCall(29_000);
    begin(call.session, 'r1');
    call.session.say(400, 'r1', 'a1');
    await call.session.settle();
    await tick(call);
    const next = await expectTakenOver(call);
    await next.next('response.create');
  });

  it('has its replacement closed if the caller leaves meanwhile', async () => {
    const call = await expiringCall(60_000);
    await hearGreeting(call);
    await tick(call);
    const next = await call.openai.dialled();
    call.twilio.stop();
    await next.closed;
  });

  it('is not replaced at once by one after another', async () => {
    const call = await expiringCall(60_000);
    await hearGreeting(call);
    await tick(call);
    await expectTakenOver(call, call.session.sessionExpiresAt);
    for (let n = 0; n < 8; n++) await tick(call);
    expect(call.openai.handshakes).toBe(2);
  });
});
