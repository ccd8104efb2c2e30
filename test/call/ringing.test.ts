import { afterEach, describe, expect, it, vi } from 'vitest';
import { readConnect } from '../simulator/webhook.ts';
import { GUARDED, SIGNATURE } from '../support/config.ts';
import { CALL, dialStream, type FakeOpenAI } from '../support/peers.ts';
import { ring, serverOf } from '../support/ring.ts';
import type { TestServer } from '../support/server.ts';
import { audio } from '../support/wire.ts';

afterEach(() => {
  vi.useRealTimers();
});

/** A server with a standby session that is ready. */
async function withStandby() {
  const servers = await serverOf({}, { STANDBY_SESSIONS: '1' });
  const standby = await servers.openai.dialled();
  await standby.configure();
  await servers.server.log.find('standby session ready');
  return { ...servers, standby };
}

/** The session of a ringing call, after the request for its greeting. */
async function prepared(openai: FakeOpenAI, server: TestServer) {
  await ring(server);
  const session = await openai.dialled();
  await session.configure();
  await session.next('response.create');
  return session;
}

/** A server after a call whose stream never came. */
async function abandoned(env: Record<string, string> = {}) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const servers = await serverOf({}, env);
  const session = await prepared(servers.openai, servers.server);
  vi.advanceTimersByTime(4_999);
  expect(servers.server.calls.live).toBe(1);
  vi.advanceTimersByTime(1);
  expect(servers.server.calls.live).toBe(0);
  expect((await session.closed).code).toBe(1000);
  await servers.server.log.find('call ended');
  vi.useRealTimers();
  return servers;
}

describe('A ringing call', () => {
  it('takes the standby session, and its stream gets all that was said', async () => {
    const { openai, server, standby } = await withStandby();
    await ring(server);
    await standby.next('response.create');
    standby.send({ type: 'response.created', response: { id: 'r' } });
    for (const ms of [100, 40, 60]) standby.say(ms);
    await standby.settle();
    const twilio = await dialStream(server.origin);
    twilio.start();
    const sounds = [];
    for (const n of [1, 2, 3]) {
      sounds.push(await twilio.next());
      expect(await twilio.next()).toMatchObject({ event: 'mark', mark: { name: `audio-${n}` } });
    }
    expect(sounds).toMatchObject(
      [100, 40, 60].map((ms) => ({ event: 'media', media: { payload: audio(ms) } })),
    );
    standby.say(20);
    expect(await twilio.next()).toMatchObject({ event: 'media', media: { payload: audio(20) } });
    await openai.dialled();
    expect(openai.handshakes).toBe(2);
    expect(standby.received.map(({ type }) => type)).toEqual(['session.update', 'response.create']);
  });

  it('dials at its webhook if there is no standby session', async () => {
    const { openai, server } = await serverOf({});
    await ring(server);
    const session = await openai.dialled();
    expect(server.calls.live).toBe(1);
    const twilio = await dialStream(server.origin);
    twilio.start();
    twilio.media(0, 'AAEC');
    await twilio.settle();
    await session.configure();
    await session.next('response.create');
    expect(await session.next()).toEqual({ type: 'input_audio_buffer.append', audio: 'AAEC' });
    expect(openai.handshakes).toBe(1);
  });

  it('ends at once if the caller hangs up before the greeting was heard', async () => {
    const { openai, server } = await serverOf({});
    const session = await prepared(openai, server);
    session.say(100);
    await session.settle();
    const twilio = await dialStream(server.origin);
    twilio.start();
    twilio.stop();
    expect((await twilio.closed).code).toBe(1000);
    expect(await server.log.find('call ended')).toMatchObject({ reason: 'twilio stopped', framesDown: 1 });
  });
});

describe('A repeated webhook', () => {
  it('has a token of its own, and the same call', async () => {
    const { openai, server } = await serverOf({}, GUARDED);
    const answers = [await ring(server), await ring(server), await ring(server)];
    await openai.dialled();
    expect(openai.handshakes).toBe(1);
    expect(server.calls.live).toBe(1);
    const { token, call } = readConnect(answers[2] ?? '')?.parameters ?? {};
    const twilio = await dialStream(server.origin, SIGNATURE);
    twilio.start(CALL, token, call);
    await server.log.find('call started');
    expect(openai.handshakes).toBe(1);
  });

  it('asks `answer` once', async () => {
    const answers: ((value: undefined) => void)[] = [];
    const answer = () => new Promise<undefined>((resolve) => void answers.push(resolve));
    const { openai, server } = await serverOf({ answer });
    const twiml = [ring(server), ring(server)];
    await vi.waitFor(() => expect(answers).toHaveLength(1));
    await (await fetch(server.origin)).text();
    for (const each of answers) each(undefined);
    for (const each of twiml) expect(await each).toContain('<Connect ');
    await openai.dialled();
    expect(answers).toHaveLength(1);
    expect(openai.handshakes).toBe(1);
  });
});

describe('A call without a stream', () => {
  it('ends after 5 s, with a line in the log', async () => {
    const { server } = await abandoned();
    const lines = server.log.lines.filter(({ callSid }) => callSid === CALL);
    expect(lines.map(({ msg }) => msg)).toEqual(['call answered', 'session ready', 'call ended']);
    expect(lines.at(-1)).toMatchObject({ reason: 'not claimed', level: 30 });
  });

  it('dials when its late stream comes, and not before', async () => {
    const { openai, server } = await abandoned(GUARDED);
    const { token, call } = readConnect(await ring(server))?.parameters ?? {};
    expect(openai.handshakes).toBe(1);
    expect(server.calls.live).toBe(0);
    const twilio = await dialStream(server.origin, SIGNATURE);
    twilio.start(CALL, token, call);
    await (await openai.dialled()).configure();
    expect(server.calls.live).toBe(1);
  });
});

describe('The place of a ringing call', () => {
  it('is taken for others, and free for its own stream', async () => {
    const { openai, server } = await serverOf({}, { MAX_CONCURRENT_CALLS: '1' });
    await ring(server);
    await openai.dialled();
    expect(await ring(server, { CallSid: 'CA2' })).toContain('<Reject reason="busy"/>');
    expect(await ring(server)).toContain('<Connect ');
    const twilio = await dialStream(server.origin);
    twilio.start();
    await server.log.find('call started');
    expect(openai.handshakes).toBe(1);
  });

  it('survives the loss of its session: another one greets', async () => {
    const { openai, server } = await serverOf({});
    const session = await prepared(openai, server);
    session.say(1_000);
    session.socket.close(1011, 'gone');
    const next = await openai.dialled();
    await next.configure();
    await next.next('response.create');
    expect(next.received.map(({ type }) => type)).toEqual(['session.update', 'response.create']);
    const twilio = await dialStream(server.origin);
    twilio.start();
    next.say(100);
    expect(await twilio.next('media')).toMatchObject({ media: { payload: audio(100) } });
  });

  it('is free if its session has failed, and the stream dials anew', async () => {
    const { openai, server } = await serverOf({});
    const session = await prepared(openai, server);
    session.socket.close(3000, 'invalid_api_key');
    expect(await server.log.find('call ended')).toMatchObject({ reason: 'openai closed' });
    expect(server.calls.live).toBe(0);
    const twilio = await dialStream(server.origin);
    twilio.start();
    const next = await openai.dialled();
    await next.configure();
    await next.next('response.create');
    next.say(100);
    expect(await twilio.next('media')).toMatchObject({ media: { payload: audio(100) } });
  });

  it('is freed when the server closes', async () => {
    const { openai, server } = await serverOf({});
    const session = await prepared(openai, server);
    await server.app.close();
    expect((await session.closed).code).toBe(1000);
    expect(server.calls.live).toBe(0);
  });
});
