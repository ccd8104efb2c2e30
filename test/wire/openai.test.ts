import { describe, expect, it } from 'vitest';
import { type ClientEvent, encodeClientEvent, NO_USAGE, parseServerEvent } from '../../src/wire/openai.ts';

const read = (event: unknown) => parseServerEvent(Buffer.from(JSON.stringify(event)), 'my-own-key');

const pcmu = { format: { type: 'audio/pcmu' } };
const pcm = { format: { type: 'audio/pcm', rate: 24000 } };
const delta = { type: 'response.output_audio.delta', response_id: 'r', item_id: 'a', delta: '/w==' };

function done(response: object): { type: string; response: object } {
  return { type: 'response.done', response: { id: 'r', ...response } };
}

describe("The parser of OpenAI's events", () => {
  it.each([
    { type: 'session.created', session: { id: 'sess_1', expiresAt: undefined } },
    { type: 'response.created', response: { id: 'r' } },
    delta,
  ])('reads %j as it stands, without its other fields', (event) => {
    expect(read({ ...event, event_id: 'e', output_index: 0 })).toEqual(event);
  });

  it.each(
    ['speech_started', 'speech_stopped', 'timeout_triggered'].map((name) => `input_audio_buffer.${name}`),
  )('reads no more of %s than its type', (type) => {
    expect(read({ type, audio_start_ms: 5, item_id: 'u' })).toEqual({ type });
  });

  it('reads the expiry of a session in ms', () => {
    expect(read({ type: 'session.created', session: { id: 's', expires_at: 1_800_000_000 } })).toEqual({
      type: 'session.created',
      session: { id: 's', expiresAt: 1_800_000_000_000 },
    });
  });

  it.each([
    [true, { audio: { input: pcmu, output: pcmu } }],
    [false, { audio: { input: pcmu, output: pcm } }],
    [false, { audio: { input: pcm, output: pcmu } }],
    [false, undefined],
  ])('says %s to a telephone format in %j', (isForPhone, session) => {
    expect(read({ type: 'session.updated', session })).toEqual({ type: 'session.updated', isForPhone });
  });

  it.each([
    [
      { status: 'cancelled', status_details: { type: 'cancelled', reason: 'turn_detected' } },
      { status: 'cancelled' },
    ],
    [
      {
        status: 'failed',
        status_details: { error: { code: 'c', message: 'm' } },
        usage: { input_tokens: 'x' },
      },
      { status: 'failed', error: { code: 'c', message: 'm' } },
    ],
    [
      { status: 'incomplete', status_details: { reason: 'content_filter' }, output: [] },
      { status: 'incomplete', error: { code: 'content_filter' } },
    ],
    [
      { status: 'completed', output: [] },
      { status: 'completed', isEmpty: true },
    ],
    [{ status: 'completed', output: [{ type: 'message' }] }, { status: 'completed' }],
    [{ status: 'completed' }, { status: 'completed' }],
  ])('reads a finished response from %j', (response, expected) => {
    const nothing = { isEmpty: false, error: undefined, usage: NO_USAGE };
    expect(read(done(response))).toEqual(done({ ...nothing, ...expected }));
  });

  it.each([
    [
      { type: 'duration', seconds: 3 },
      { transcriptionSeconds: 3, transcriptionTokensIn: 0, transcriptionTokensOut: 0 },
    ],
    [
      { type: 'tokens', input_tokens: 40, output_tokens: 7 },
      { transcriptionSeconds: 0, transcriptionTokensIn: 40, transcriptionTokensOut: 7 },
    ],
    [undefined, { transcriptionSeconds: 0, transcriptionTokensIn: 0, transcriptionTokensOut: 0 }],
  ])('reads the usage of a transcription from %j', (usage, expected) => {
    const type = 'conversation.item.input_audio_transcription.completed';
    expect(read({ type, item_id: 'u', transcript: 'Hello.', usage })).toEqual({
      ...{ type: 'caller transcribed', item_id: 'u', transcript: 'Hello.', usage: expected },
    });
  });

  it.each([
    [{ code: null, message: 'm' }, 'm'],
    [undefined, undefined],
  ])('reads an error from %j, whatever it lacks', (error, message) => {
    expect(read({ type: 'error', error })).toEqual({ type: 'error', error: { code: undefined, message } });
  });

  it('reads the code of an error though the key is a part of it', () => {
    const data = Buffer.from('{"type":"error","error":{"code":"rate_limit_exceeded","message":"x"}}');
    const error = { code: 'rate_limit_exceeded', message: '…' };
    expect(parseServerEvent(data, 'x')).toMatchObject({ error });
  });

  it('reads the type of an error that has no code', () => {
    const error = { type: 'server_error', code: null, message: 'm' };
    expect(read({ type: 'error', error })).toMatchObject({ error: { code: 'server_error' } });
  });

  it('reads an unused event as another', () => {
    expect(read({ type: 'rate_limits.updated', rate_limits: [] })).toEqual({ type: 'other' });
  });

  it.each([
    { type: 'session.created', session: {} },
    { type: 'session.created', session: { id: 's'.repeat(201) } },
    { type: 'response.created', response: { id: 'r 1' } },
    { type: 'response.created' },
    done({}),
    { ...delta, delta: '"}' },
    { ...delta, item_id: undefined },
    { type: 7 },
    {},
    'text',
  ])('rejects %j', (event) => {
    expect(read(event)).toBeUndefined();
  });
});

describe('A message to OpenAI', () => {
  it.each([
    { type: 'session.update', session: { instructions: 'Hi \ud83d', tools: [{ description: '\udc4b' }] } },
    {
      type: 'conversation.item.create',
      item: { type: 'function_call_output', call_id: 'c', output: '\ud83d!' },
    },
  ] satisfies ClientEvent[])('has no half of a surrogate pair in %j', (event) => {
    const text = encodeClientEvent(event).toString();
    expect(text).toContain('\ufffd');
    expect(text).not.toMatch(/\\ud[89a-f]/i);
    expect(JSON.parse(text)).toMatchObject({ type: event.type });
  });
});
