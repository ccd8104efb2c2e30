import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  dialStream,
  FakeOpenAI,
  type OpenAIPeer,
  readyCall as readyCallTo,
  type TwilioPeer,
} from './support/peers.ts';
import { TestServer } from './support/server.ts';
import { audio, STREAM } from './support/wire.ts';

let openai: FakeOpenAI;
let server: TestServer;

beforeEach(async () => {
  openai = await FakeOpenAI.listen();
  server = await TestServer.start({ OPENAI_REALTIME_URL: openai.url });
});

afterEach(async () => {
  await server.app.close();
  await openai.close();
});

async function startedCall(): Promise<{ twilio: TwilioPeer; session: OpenAIPeer }> {
  const twilio = await dialStream(server.origin);
  twilio.start();
  return { twilio, session: await openai.dialled() };
}

const readyCall = () => readyCallTo(openai, server.origin);

async function liveCalls(): Promise<number> {
  return (await server.app.inject('/')).json().calls;
}

describe('a call begins', () => {
  it('dials OpenAI with the model in the address and the key in the header, as GA has it', async () => {
    const { session } = await startedCall();
    expect(session.request.url).toBe('/v1/realtime?model=gpt-realtime-2.1');
    expect(session.request.headers.authorization).toBe('Bearer sk-test');
    expect(session.request.headers).not.toHaveProperty('openai-beta');
    expect(session.request.headers).not.toHaveProperty('sec-websocket-extensions');
  });

  it('does not dial before the stream has started', async () => {
    const twilio = await dialStream(server.origin);
    twilio.send({ event: 'connected', protocol: 'Call', version: '1.0.0' });
    twilio.start();
    await openai.dialled();
    expect(openai.peers).toHaveLength(1);
  });

  it('configures the session first, for mu-law both ways', async () => {
    const { twilio, session } = await startedCall();
    twilio.media(0);
    expect(await session.configure()).toMatchObject({
      type: 'session.update',
      session: {
        type: 'realtime',
        output_modalities: ['audio'],
        instructions: expect.stringContaining('telephone'),
        audio: {
          input: {
            format: { type: 'audio/pcmu' },
            turn_detection: {
              type: 'server_vad',
              threshold: 0.5,
              prefix_padding_ms: 300,
              silence_duration_ms: 500,
            },
          },
          output: { format: { type: 'audio/pcmu' }, voice: 'marin' },
        },
      },
    });
    expect(session.received[0]).not.toHaveProperty('session.temperature');
  });

  it('greets, then passes on what the caller had said meanwhile', async () => {
    const { twilio, session } = await startedCall();
    twilio.media(0, audio(20, 1));
    twilio.media(20, audio(20, 2));
    await session.configure();
    expect(await session.next()).toMatchObject({ type: 'response.create' });
    expect(await session.next()).toEqual({ type: 'input_audio_buffer.append', audio: audio(20, 1) });
    expect(await session.next()).toEqual({ type: 'input_audio_buffer.append', audio: audio(20, 2) });
  });
});

describe('a call goes on', () => {
  it('carries the caller up and the assistant down', async () => {
    const { twilio, session } = await readyCall();
    twilio.media(0, 'AAEC');
    expect(await session.next()).toEqual({ type: 'input_audio_buffer.append', audio: 'AAEC' });
    session.say(100);
    expect(await twilio.next()).toEqual({
      event: 'media',
      streamSid: STREAM,
      media: { payload: audio(100) },
    });
    expect(await twilio.next()).toEqual({ event: 'mark', streamSid: STREAM, mark: { name: 'audio-1' } });
  });

  it('stops the assistant when the caller speaks', async () => {
    const { twilio, session } = await readyCall();
    session.say(4000);
    await twilio.next('mark');
    session.send({ type: 'input_audio_buffer.speech_started', audio_start_ms: 0, item_id: 'u' });
    expect(await twilio.next()).toEqual({ event: 'clear', streamSid: STREAM });
    expect(await session.next()).toMatchObject({
      type: 'conversation.item.truncate',
      item_id: 'a',
      content_index: 0,
    });
  });

  it('ignores what belongs to another stream', async () => {
    const { twilio, session } = await readyCall();
    twilio.send({ event: 'stop', streamSid: 'MZ-other' });
    twilio.media(0, 'AAEC');
    expect(await session.next()).toMatchObject({ audio: 'AAEC' });
  });

  it('is counted while it is live', async () => {
    expect(await liveCalls()).toBe(0);
    const { twilio, session } = await readyCall();
    expect(await liveCalls()).toBe(1);
    twilio.stop();
    await session.closed;
    expect(await liveCalls()).toBe(0);
  });
});

describe('a call ends', () => {
  it('when the caller hangs up', async () => {
    const { twilio, session } = await readyCall();
    twilio.stop();
    twilio.socket.close(1000);
    expect(await session.closed).toEqual({ code: 1000, reason: '' });
    await twilio.closed;
  });

  it('when Twilio says stop and closes nothing', async () => {
    const { twilio, session } = await readyCall();
    twilio.stop();
    await Promise.all([session.closed, twilio.closed]);
  });

  it.each([undefined, 1000, 1001, 3000])('when Twilio closes with %s', async (code) => {
    const { twilio, session } = await readyCall();
    twilio.socket.close(code);
    await Promise.all([session.closed, twilio.closed]);
  });

  it("when Twilio's socket is reset", async () => {
    const { twilio, session } = await readyCall();
    twilio.socket.terminate();
    await session.closed;
  });

  it.each([undefined, 1000, 1001, 4000])('when OpenAI closes with %s', async (code) => {
    const { twilio, session } = await readyCall();
    session.socket.close(code);
    await Promise.all([session.closed, twilio.closed]);
  });

  it("when OpenAI's socket is reset", async () => {
    const { twilio, session } = await readyCall();
    session.socket.terminate();
    await twilio.closed;
  });

  it('when the caller hangs up while OpenAI is still connecting', async () => {
    const { twilio, session } = await startedCall();
    twilio.socket.terminate();
    await session.closed;
  });

  it('when OpenAI refuses the session, and no audio has gone up', async () => {
    const { twilio, session } = await startedCall();
    twilio.media(0);
    session.send({ type: 'session.created', session: { id: 's' } });
    await session.next('session.update');
    session.send({ type: 'error', error: { code: 'unknown_parameter', message: 'no' } });
    await Promise.all([session.closed, twilio.closed]);
    expect(session.received).toHaveLength(1);
  });

  it('when OpenAI would hear the caller as something else than mu-law', async () => {
    const { twilio, session } = await startedCall();
    session.send({ type: 'session.created', session: { id: 's' } });
    await session.next('session.update');
    const pcm = { format: { type: 'audio/pcm', rate: 24000 } };
    session.send({ type: 'session.updated', session: { audio: { input: pcm, output: pcm } } });
    await Promise.all([session.closed, twilio.closed]);
  });

  it('and nothing is sent afterwards', async () => {
    const { twilio, session } = await readyCall();
    twilio.socket.pause();
    twilio.stop();
    session.say(100);
    await session.closed;
    twilio.socket.resume();
    await twilio.closed;
    expect(twilio.received).toEqual([]);
  });
});
