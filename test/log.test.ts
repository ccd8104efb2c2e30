import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { issueToken, sign } from '../src/wire/auth.ts';
import { CALL, dialStream, FakeOpenAI } from './support/peers.ts';
import { TestServer } from './support/server.ts';
import { audio, STREAM } from './support/wire.ts';

const SECRETS = { OPENAI_API_KEY: 'sk-a-secret-key', TWILIO_AUTH_TOKEN: 'a-secret-token' };
const STREAM_URL = 'wss://relay.example.com/media-stream';

let openai: FakeOpenAI;
let server: TestServer;

beforeEach(async () => {
  openai = await FakeOpenAI.listen();
  server = await TestServer.start({
    ...SECRETS,
    ALLOW_UNSIGNED_REQUESTS: 'false',
    OPENAI_REALTIME_URL: openai.url,
    PUBLIC_URL: 'https://relay.example.com',
  });
});

afterEach(async () => {
  await server.app.close();
  await openai.close();
});

const signature = sign(SECRETS.TWILIO_AUTH_TOKEN, STREAM_URL);
const token = issueToken(SECRETS.TWILIO_AUTH_TOKEN, CALL, Date.now());

async function wholeCall(): Promise<void> {
  const form = { CallSid: CALL, From: '+14155550123', To: '+14155559876' };
  await server.app.inject({
    method: 'POST',
    url: '/incoming-call',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'x-twilio-signature': sign(SECRETS.TWILIO_AUTH_TOKEN, 'https://relay.example.com/incoming-call', form),
    },
    payload: new URLSearchParams(form).toString(),
  });
  await server.app.inject('/incoming-call?From=%2B14155550123&CallSid=CA-unsigned');
  const twilio = await dialStream(server.origin, { 'x-twilio-signature': signature });
  twilio.start(CALL, token);
  const session = await openai.dialled();
  await session.configure();
  await session.next('response.create');
  twilio.media(0);
  twilio.media(60);
  session.say(400);
  const transcript = 'The owl says hoo.';
  session.send(
    { type: 'response.output_audio_transcript.done', transcript },
    { type: 'error', error: { code: 'invalid_value', message: 'Incorrect key sk-a-secret-key in it' } },
    {
      type: 'response.done',
      response: {
        id: 'r',
        status: 'completed',
        output: [{ content: [{ type: 'output_audio', transcript }] }],
        usage: {
          input_tokens: 41,
          output_tokens: 164,
          input_token_details: { text_tokens: 14, audio_tokens: 27, cached_tokens: 3 },
          output_token_details: { text_tokens: 28, audio_tokens: 136 },
        },
      },
    },
    { type: 'input_audio_buffer.speech_started' },
  );
  await twilio.next('clear');
  await session.next('conversation.item.truncate');
  twilio.stop();
  await server.log.find('call ended');
}

describe('the log of a call', () => {
  it('has one line for its end, which says all there is to know', async () => {
    await wholeCall();
    const lines = server.log.lines.filter(({ msg }) => msg === 'call ended');
    expect(lines).toEqual([
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
        usage: { input: 41, output: 164, cached: 3, text: 42, audio: 163 },
        latencyMs: { ready: expect.any(Number), firstSound: expect.any(Number), reply: {} },
      }),
    ]);
  });

  it('names the call, the stream and the session in every line of theirs', async () => {
    await wholeCall();
    const ofTheSession = server.log.lines
      .filter(({ sessionId }) => sessionId === 'sess_1')
      .map(({ msg }) => msg);
    expect(ofTheSession).toEqual(['session ready', 'openai error', 'call ended']);
    const ofTheCall = server.log.lines.filter(({ callSid }) => callSid === CALL).map(({ msg }) => msg);
    expect(ofTheCall).toEqual(['call answered', 'call started', ...ofTheSession]);
  });

  it('has no key, token, signature, transcript or audio in it, at the most talkative level', async () => {
    await wholeCall();
    for (const secret of [...Object.values(SECRETS), signature, token, 'owl', audio(20).slice(0, 40)]) {
      expect(server.log.text).not.toContain(secret);
    }
  });

  it('has the last four digits of phone numbers, and no more', async () => {
    await wholeCall();
    expect(await server.log.find('call answered')).toMatchObject({ from: '…0123' });
    // A time, a process's number or a port may well have these digits in it.
    const text = server.log.lines
      .filter(({ reqId }) => reqId !== undefined)
      .map((line) => JSON.stringify({ ...line, time: undefined, pid: undefined }))
      .join('\n');
    expect(text).toContain('0123');
    expect(text).not.toContain('50123');
    expect(text).not.toContain('59876');
  });
});
