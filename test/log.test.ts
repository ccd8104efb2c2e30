import { describe, expect, it } from 'vitest';
import { issueToken } from '../src/wire/auth.ts';
import { liveCall, startServer } from './support/call.ts';
import { AUTH_TOKEN, GUARDED, SIGNATURE } from './support/config.ts';
import { CALL, dialStream } from './support/peers.ts';
import { ring } from './support/ring.ts';
import type { Log } from './support/server.ts';
import { audio, STREAM } from './support/wire.ts';

const KEY = 'my-own-key';
const token = issueToken(AUTH_TOKEN, CALL, Date.now());
const transcript = 'The owl says hoo.';

/** The log of a call with everything in it, even an error that quotes the key. */
async function wholeCall(): Promise<Log> {
  const { openai, server } = await startServer({ ...GUARDED, OPENAI_API_KEY: KEY });
  await ring(server, { To: '+14155559876' });
  await server.app.inject('/incoming-call?From=%2B14155550123&CallSid=CA-unsigned');
  const twilio = await dialStream(server.origin, SIGNATURE);
  twilio.start(CALL, token);
  const session = await openai.dialled();
  await session.configure();
  await session.next('response.create');
  twilio.media(0);
  twilio.media(60);
  session.say(400);
  session.send(
    { type: 'response.output_audio_transcript.done', item_id: 'a', transcript },
    { type: 'error', error: { code: 'invalid_value', message: `The key ${KEY} is odd.` } },
    {
      type: 'response.done',
      response: {
        id: 'r',
        status: 'completed',
        output: [{ content: [{ type: 'output_audio', transcript }] }],
        usage: {
          input_token_details: {
            text_tokens: 14,
            audio_tokens: 27,
            cached_tokens_details: { text_tokens: 3, audio_tokens: 7 },
          },
          output_token_details: { text_tokens: 28, audio_tokens: 136 },
        },
      },
    },
    { type: 'input_audio_buffer.speech_started' },
  );
  await twilio.next('clear');
  await session.next('conversation.item.truncate');
  for (const digit of '4711#') twilio.send({ event: 'dtmf', streamSid: STREAM, dtmf: { digit } });
  twilio.stop();
  await server.log.find('call ended');
  return server.log;
}

describe('The log', () => {
  it('sums up a call in one line', async () => {
    const log = await wholeCall();
    expect(log.lines.filter(({ msg }) => msg === 'call ended')).toEqual([
      expect.objectContaining({
        callSid: CALL,
        streamSid: STREAM,
        sessionId: 'sess_1',
        reason: 'twilio stopped',
        durationMs: expect.any(Number),
        twilio: { code: 1000, reason: '' },
        openai: { code: 1000, reason: '' },
        ignored: { twilio: 0, openai: 0 },
        framesUp: 2,
        framesDown: 1,
        earlyFramesDropped: 0,
        gapsFilled: 1,
        bargeIns: 1,
        retries: 0,
        errors: { invalid_value: 1 },
        usage: {
          textIn: 11,
          cachedTextIn: 3,
          audioIn: 20,
          cachedAudioIn: 7,
          textOut: 28,
          audioOut: 136,
          transcriptionSeconds: 0,
          transcriptionTokensIn: 0,
          transcriptionTokensOut: 0,
        },
        keysPressed: 5,
        latencyMs: { ready: expect.any(Number), firstSound: expect.any(Number), reply: {} },
      }),
    ]);
  });

  it('names the call in each of its lines, and its session where there is one', async () => {
    const log = await wholeCall();
    const ofTheSession = ['session ready', 'openai error', 'call ended'];
    expect(log.messages(({ sessionId }) => sessionId === 'sess_1')).toEqual(ofTheSession);
    expect(log.messages(({ callSid }) => callSid === CALL)).toEqual([
      'call answered',
      'call started',
      ...ofTheSession,
    ]);
  });

  it("has OpenAI's errors in its own words, without the key", async () => {
    const log = await wholeCall();
    expect(await log.find('openai error')).toMatchObject({
      error: { code: 'invalid_value', message: 'The key … is odd.' },
    });
  });

  it('has no key, token, signature, digit, transcript or audio at any level', async () => {
    const { lines } = await wholeCall();
    // The time and the process may have the same digits by chance.
    const text = lines.map((line) => JSON.stringify({ ...line, time: 0, pid: 0 })).join('\n');
    const secrets = [
      KEY,
      AUTH_TOKEN,
      token,
      SIGNATURE['x-twilio-signature'],
      'owl',
      '4711',
      '4 7 1 1',
      audio(20).slice(0, 40),
    ];
    for (const secret of secrets) expect(text).not.toContain(secret);
  });

  it('has no more of a phone number than its last four digits', async () => {
    const log = await wholeCall();
    expect(await log.find('call answered')).toMatchObject({ from: '…0123' });
    // A time, a pid or a port may have the same digits.
    const text = log.lines
      .filter(({ reqId }) => reqId !== undefined)
      .map((line) => JSON.stringify({ ...line, time: undefined, pid: undefined }))
      .join('\n');
    expect(text).toContain('0123');
    expect(text).not.toContain('50123');
    expect(text).not.toContain('59876');
  });

  it('has no key that OpenAI put into an error code or a close reason', async () => {
    const { server, twilio, session } = await liveCall({ OPENAI_API_KEY: KEY });
    session.send({ type: 'error', error: { code: KEY, message: 'no' } });
    session.socket.close(4000, `Incorrect API key provided: ${KEY}`);
    expect(await server.log.find('session failed, switching')).toMatchObject({
      closed: { code: 4000 },
    });
    twilio.stop();
    await server.log.find('call ended');
    expect(server.log.text).not.toContain(KEY);
  });

  it('has at most 20 errors of a session, and counts the others', async () => {
    const { server, twilio, session } = await liveCall();
    for (let n = 0; n < 100; n++) session.send({ type: 'error', error: { code: `code_${n}` } });
    session.say(20);
    await twilio.next('mark');
    twilio.stop();
    const { errors } = await server.log.find('call ended');
    expect(Object.values(Object(errors)).reduce((sum: number, count) => sum + Number(count), 0)).toBe(100);
    expect(server.log.messages(({ msg }) => msg === 'openai error')).toHaveLength(20);
  });
});
