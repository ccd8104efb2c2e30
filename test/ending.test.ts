import { afterEach, describe, expect, it, vi } from 'vitest';
import { dialledCall, liveCall } from './support/call.ts';
import { CALL, type OpenAIPeer, type TwilioPeer } from './support/peers.ts';
import type { TestServer } from './support/server.ts';
import { audio, STREAM } from './support/wire.ts';

afterEach(() => {
  vi.useRealTimers();
});

function fakeTimers(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
}

const SORRY = /<Response><Say>I am sorry, something has gone wrong.*<\/Say><Hangup\/><\/Response>/;

/** Expects both sides closed, the place free and an apology; returns the log line. */
async function expectFailed(server: TestServer, twilio: TwilioPeer, session: OpenAIPeer) {
  await Promise.all([twilio.closed, session.closed]);
  expect(server.calls.live).toBe(0);
  expect(await server.lastWords(CALL)).toMatch(SORRY);
  return server.log.find('call failed');
}

describe("Twilio's side of a call", () => {
  it.each<[string, (twilio: TwilioPeer) => void, string, number]>([
    ['says stop, and closes nothing', (twilio) => twilio.stop(), 'twilio stopped', 1000],
    ['closes without a code', (twilio) => twilio.socket.close(), 'twilio closed', 1005],
    ['closes with 1000', (twilio) => twilio.socket.close(1000), 'twilio closed', 1000],
    ['closes with 1001', (twilio) => twilio.socket.close(1001), 'twilio closed', 1001],
    ['closes with 3000', (twilio) => twilio.socket.close(3000), 'twilio lost', 3000],
    ['is reset', (twilio) => twilio.socket.terminate(), 'twilio lost', 1006],
    ['sends more than 64 KiB', (twilio) => twilio.media(0, audio(8_000)), 'twilio lost', 1009],
  ])('frees the place and closes OpenAI when Twilio %s', async (_, leave, reason, code) => {
    const { server, twilio, session } = await liveCall();
    expect(server.calls.live).toBe(1);
    leave(twilio);
    expect(await session.closed).toEqual({ code: 1000, reason: '' });
    expect((await twilio.closed).code).toBe(code);
    expect(await server.log.find('call ended')).toMatchObject({ reason });
    expect(server.calls.live).toBe(0);
    const words = reason === 'twilio lost' ? SORRY : /<Response><Hangup\/><\/Response>/;
    // A stream that Twilio closed has no next step.
    expect(await server.calls.untilFinished(0)).toBe(reason !== 'twilio lost');
    expect(await server.lastWords(CALL)).toMatch(words);
  });
});

describe("OpenAI's side of a call", () => {
  it('ends it with the apology when no other session would help', async () => {
    const { server, twilio, session } = await liveCall();
    const closed = { code: 4004, reason: 'invalid_request_error.model_not_found' };
    session.socket.close(closed.code, closed.reason);
    expect(await expectFailed(server, twilio, session)).toMatchObject({ reason: 'openai closed', closed });
    expect((await twilio.closed).code).toBe(1011);
  });
});

describe('A silent session', () => {
  it('ends the call with the apology after 15 s without a reply', async () => {
    fakeTimers();
    const { server, twilio, session } = await liveCall();
    session.say(100);
    await twilio.next('mark');
    session.send({ type: 'input_audio_buffer.speech_stopped' });
    await session.settle();
    vi.advanceTimersByTime(15_250);
    expect(await expectFailed(server, twilio, session)).toMatchObject({ reason: 'no reply' });
  });
});

describe('The time limit', () => {
  /** A call that has just reached its time limit. */
  async function longCall() {
    fakeTimers();
    const call = await liveCall({ MAX_CALL_SECONDS: '1' });
    call.session.send({ type: 'response.created', response: { id: 'r1' } });
    call.session.say(100, 'r1', 'a1');
    await call.twilio.next('mark');
    vi.advanceTimersByTime(999);
    expect(call.session.received.map(({ type }) => type)).not.toContain('response.cancel');
    vi.advanceTimersByTime(1);
    return call;
  }

  it('has the assistant say so, and ends the call when that was heard', async () => {
    const { server, twilio, session } = await longCall();
    expect(await session.next('response.cancel')).toMatchObject({ response_id: 'r1' });
    expect(JSON.stringify(await session.next('conversation.item.create'))).toContain('time limit');
    const response = { id: 'r1', status: 'cancelled' };
    session.send({ type: 'response.done', response });
    await session.next('response.create');
    session.send({ type: 'response.created', response: { id: 'r2' } });
    session.say(2_000, 'r2', 'a2');
    session.send({ type: 'response.done', response: { id: 'r2', status: 'completed' } });
    const { mark } = await twilio.next('mark');
    expect(server.calls.live).toBe(1);
    twilio.send({ event: 'mark', streamSid: STREAM, mark });
    expect((await twilio.closed).code).toBe(1000);
    await session.closed;
    expect(await server.lastWords(CALL)).toContain('<Response><Hangup/></Response>');
    expect(await server.log.find('call ended')).toMatchObject({ reason: 'time limit' });
  });

  it('has Twilio say so if there is no session yet', async () => {
    fakeTimers();
    const { server, twilio } = await dialledCall({ MAX_CALL_SECONDS: '1' });
    await server.log.find('call started');
    vi.advanceTimersByTime(1_000);
    expect((await twilio.closed).code).toBe(1000);
    expect(await server.lastWords(CALL)).toContain('time limit');
  });
});
