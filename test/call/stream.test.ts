import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { dialledCall, liveCall, startServer } from '../support/call.ts';
import { dialStream } from '../support/peers.ts';
import { audio, STREAM } from '../support/wire.ts';

describe('A new call', () => {
  it('dials OpenAI with the model in the address and the key in a header', async () => {
    const { session } = await dialledCall();
    expect(session.request.url).toBe('/v1/realtime?model=gpt-realtime-2.1');
    expect(session.request.headers.authorization).toBe('Bearer sk-test');
    expect(session.request.headers).not.toHaveProperty('openai-beta');
    expect(session.request.headers).not.toHaveProperty('sec-websocket-extensions');
  });

  it('dials OpenAI once, when its stream has started', async () => {
    const { openai, server } = await startServer();
    const twilio = await dialStream(server.origin);
    twilio.send({ event: 'connected', protocol: 'Call', version: '1.0.0' });
    await twilio.settle();
    expect(openai.handshakes).toBe(0);
    twilio.start();
    await openai.dialled();
    expect(openai.handshakes).toBe(1);
  });

  it('is closed after the end of the grace', async () => {
    const { openai, server } = await startServer();
    server.calls.end('with a word');
    const twilio = await dialStream(server.origin);
    twilio.start();
    expect((await twilio.closed).code).toBe(1001);
    expect(openai.handshakes).toBe(0);
  });

  it('configures its session for mu-law before anything else', async () => {
    const { twilio, session } = await dialledCall();
    twilio.media(0, audio(20, 1));
    await session.configure();
    expect(session.received).toEqual([
      {
        type: 'session.update',
        session: {
          type: 'realtime',
          output_modalities: ['audio'],
          instructions: 'You are a test on the telephone.\n\nHow you open the call: Say hello.',
          audio: {
            input: {
              format: { type: 'audio/pcmu' },
              turn_detection: expect.objectContaining({
                type: 'server_vad',
                threshold: 0.5,
                prefix_padding_ms: 300,
                silence_duration_ms: 500,
              }),
            },
            output: { format: { type: 'audio/pcmu' }, voice: 'cedar' },
          },
          tools: [],
        },
      },
    ]);
    await session.next('response.create');
    expect(await session.next()).toEqual({ type: 'input_audio_buffer.append', audio: audio(20, 1) });
  });
});

describe('A live call', () => {
  it('carries audio both ways, byte for byte', async () => {
    const { twilio, session } = await liveCall();
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

  it('ignores the messages of another stream', async () => {
    const { twilio, session } = await liveCall();
    twilio.send({ event: 'stop', streamSid: 'MZ-other' });
    twilio.media(0, 'AAEC');
    expect(await session.next()).toMatchObject({ audio: 'AAEC' });
  });

  it('ignores and counts undocumented messages on both sides', async () => {
    const { openai, server, twilio, session } = await liveCall();
    for (const text of ['', '{', '[]', 'null', '{"event":"mystery","streamSid":"MZ"}', '{"event":7}']) {
      twilio.socket.send(text);
    }
    twilio.socket.send(Buffer.from('{"event":"stop"}'), { binary: true });
    twilio.start('CA-second');
    for (const text of ['', '{', '[]', '{"type":7}', '{"type":"response.output_audio.delta","delta":5}']) {
      session.socket.send(text);
    }
    session.socket.send(Buffer.from('{"type":"error"}'), { binary: true });
    session.say(20);
    await twilio.next('mark');
    twilio.media(0);
    await session.next('input_audio_buffer.append');
    twilio.stop();
    expect(await server.log.find('call ended')).toMatchObject({
      ignored: { twilio: 9, openai: 6 },
      errors: {},
    });
    expect(openai.handshakes).toBe(1);
  });
});

describe('A stream that a proxy cuts off', () => {
  it('has its unmasked close frame logged without a stack', async () => {
    const { server } = await startServer();
    const socket = new WebSocket(`${server.origin.replace('http', 'ws')}/media-stream`);
    socket.on('error', () => {});
    const [response] = await once(socket, 'upgrade');
    response.socket.write(Buffer.from([0x88, 0x02, 0x03, 0xe9]));
    expect(await server.log.find('media stream error')).toMatchObject({
      error: 'Invalid WebSocket frame: MASK must be set',
    });
    expect(server.log.text).not.toContain('stack');
  });
});
