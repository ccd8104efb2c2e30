import { afterEach, describe, expect, it, vi } from 'vitest';
import { readConnect } from '../simulator/webhook.ts';
import { GUARDED, SIGNATURE } from '../support/config.ts';
import { CALL, dialStream, type FakeOpenAI } from '../support/peers.ts';
import { ring, serverOf } from '../support/ring.ts';
import type { TestServer } from '../support/server.ts';

afterEach(() => {
  vi.useRealTimers();
});

/** The session of a ringing call, after the request for its greeting. */
async function prepared(openai: FakeOpenAI, server: TestServer) {
  await ring(server);
  const session = await openai.dialled();
  await session.configure();
  await session.next('response.create');
  return session;
}

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
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    const { openai, server } = await serverOf({});
    const session = await prepared(openai, server);
    vi.advanceTimersByTime(4_999);
    expect(server.calls.live).toBe(1);
    vi.advanceTimersByTime(1);
    expect(server.calls.live).toBe(0);
    expect((await session.closed).code).toBe(1000);
    await server.log.find('call ended');
    const lines = server.log.lines.filter(({ callSid }) => callSid === CALL);
    expect(lines.map(({ msg }) => msg)).toEqual(['call answered', 'session ready', 'call ended']);
    expect(lines.at(-1)).toMatchObject({ reason: 'not claimed', level: 30 });
  });
});

describe('The place of a ringing call', () => {
  it('is freed when the server closes', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { openai, server } = await serverOf({});
    const session = await prepared(openai, server);
    await server.app.close();
    expect((await session.closed).code).toBe(1000);
    expect(server.calls.live).toBe(0);
  });
});
