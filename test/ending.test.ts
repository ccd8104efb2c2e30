import { afterEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { dialledCall, liveCall } from './support/call.ts';
import { CALL, type OpenAIPeer, type TwilioPeer } from './support/peers.ts';
import type { TestServer } from './support/server.ts';
import { audio } from './support/wire.ts';

afterEach(() => {
  vi.useRealTimers();
});

const SORRY = /<Response><Say>I am sorry, something has gone wrong.*<\/Say><Hangup\/><\/Response>/;

/** That both sides were closed, the call's place is free and its caller is told so; returns what the log has of it. */
async function expectFailed(server: TestServer, twilio: TwilioPeer, session: OpenAIPeer) {
  await Promise.all([twilio.closed, session.closed]);
  expect(server.calls.live).toBe(0);
  expect(await server.lastWords(CALL)).toMatch(SORRY);
  return server.log.find('call failed');
}

describe("Twilio's ways to end a call", () => {
  it.each<[string, (twilio: TwilioPeer) => void, string, number]>([
    ['says stop, and closes nothing', (twilio) => twilio.stop(), 'twilio stopped', 1000],
    ['closes without a code', (twilio) => twilio.socket.close(), 'twilio closed', 1005],
    ['closes with 1000', (twilio) => twilio.socket.close(1000), 'twilio closed', 1000],
    ['closes with 1001', (twilio) => twilio.socket.close(1001), 'twilio closed', 1001],
    ['closes with 3000', (twilio) => twilio.socket.close(3000), 'twilio lost', 3000],
    ['is reset', (twilio) => twilio.socket.terminate(), 'twilio lost', 1006],
    ['sends more than 64 KiB', (twilio) => twilio.media(0, audio(8_000)), 'twilio lost', 1009],
  ])('Both sides are closed and the place is free when Twilio %s', async (_, leave, reason, code) => {
    const { server, twilio, session } = await liveCall();
    expect(server.calls.live).toBe(1);
    leave(twilio);
    expect(await session.closed).toEqual({ code: 1000, reason: '' });
    expect((await twilio.closed).code).toBe(code);
    expect(await server.log.find('call ended')).toMatchObject({ reason });
    expect(server.calls.live).toBe(0);
    const words = reason === 'twilio lost' ? SORRY : /<Response><Hangup\/><\/Response>/;
    expect(await server.lastWords(CALL)).toMatch(words);
  });

  it('The session is closed when the caller hangs up while OpenAI is still connecting', async () => {
    const { twilio, session } = await dialledCall();
    twilio.socket.terminate();
    await session.closed;
  });
});

describe("OpenAI's ways to end a call", () => {
  it.each([1000, 1001, 1005, 1006, 1011, 3000, 4000])(
    'The caller gets an apology when OpenAI closes with %d',
    async (code) => {
      const { server, twilio, session } = await liveCall();
      if (code === 1006) session.socket.terminate();
      else if (code === 1005) session.socket.close();
      else session.socket.close(code, 'the reason');
      expect(await expectFailed(server, twilio, session)).toMatchObject({
        reason: 'openai closed',
        closed: { code, reason: [1005, 1006].includes(code) ? '' : 'the reason' },
      });
      expect((await twilio.closed).code).toBe(1011);
    },
  );

  it('The caller gets an apology when the session has lasted 60 minutes, and the log says so', async () => {
    const { server, twilio, session } = await liveCall();
    const error = {
      code: 'session_expired',
      message: 'Your session hit the maximum duration of 60 minutes.',
    };
    session.send({ type: 'error', error: { type: 'invalid_request_error', ...error } });
    session.socket.close(1001, error.message);
    expect(await expectFailed(server, twilio, session)).toMatchObject({ error });
  });

  it('The caller gets an apology within a second when OpenAI closes and leaves the connection open', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { server, twilio, session } = await liveCall();
    session.socket.pause();
    session.socket.close(1011, 'half gone');
    twilio.media(0);
    await vi.waitFor(() => {
      vi.advanceTimersByTime(100);
      expect(twilio.socket.readyState).not.toBe(WebSocket.OPEN);
    });
    session.socket.terminate();
    expect(await expectFailed(server, twilio, session)).toMatchObject({
      closed: { code: 1011, reason: 'half gone' },
    });
  });
});

describe('a session that is of no use any more', () => {
  it('The caller gets an apology when a second response in a row fails, and not before', async () => {
    const { server, twilio, session } = await liveCall();
    const error = { code: 'server_error', message: 'no' };
    const response = { id: 'r', status: 'failed', status_details: { type: 'failed', error } };
    const fail = () =>
      session.send({ type: 'response.created', response }, { type: 'response.done', response });
    fail();
    expect(await session.next()).toMatchObject({ type: 'response.create' });
    fail();
    expect(await expectFailed(server, twilio, session)).toMatchObject({ reason: 'response failed', error });
  });

  it('The caller gets an apology when no reply has come within 15 s', async () => {
    vi.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'],
    });
    const { server, twilio, session } = await liveCall();
    session.say(100);
    await twilio.next('mark');
    session.send({ type: 'input_audio_buffer.speech_stopped' });
    await session.settle();
    vi.advanceTimersByTime(15_250);
    expect(await expectFailed(server, twilio, session)).toMatchObject({ reason: 'no reply' });
  });
});

describe('the time limit', () => {
  it('A call of MAX_CALL_SECONDS ends with a sentence that says so, and no apology', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { server, twilio, session } = await liveCall({ MAX_CALL_SECONDS: '60' });
    vi.advanceTimersByTime(59_999);
    expect(server.calls.live).toBe(1);
    vi.advanceTimersByTime(1);
    expect((await twilio.closed).code).toBe(1000);
    await session.closed;
    const words = await server.lastWords(CALL);
    expect(words).toContain('time limit');
    expect(words).not.toContain('gone wrong');
  });
});
