import { describe, expect, it } from 'vitest';
import { NO_USAGE, parseServerEvent } from '../../src/wire/openai.ts';

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

  it.each(['input_audio_buffer.speech_started', 'input_audio_buffer.speech_stopped'])(
    'reads no more of %s than its type',
    (type) => {
      expect(read({ type, audio_start_ms: 5, item_id: 'u' })).toEqual({ type });
    },
  );

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
      { status: 'cancelled', isEmpty: false, error: undefined, usage: NO_USAGE },
    ],
    [
      { status: 'incomplete', status_details: { type: 'incomplete', reason: 'content_filter' } },
      { status: 'incomplete', isEmpty: false, error: { code: 'content_filter' }, usage: NO_USAGE },
    ],
    [
      {
        status: 'failed',
        status_details: { error: { code: 'c', message: 'm' } },
        usage: { input_tokens: 'x' },
      },
      { status: 'failed', isEmpty: false, error: { code: 'c', message: 'm' }, usage: NO_USAGE },
    ],
  ])('reads a finished response from %j', (response, expected) => {
    expect(read(done(response))).toEqual(done(expected));
  });

  it.each([
    [{ code: null, message: 'm' }, 'm'],
    [undefined, undefined],
  ])('reads an error from %j, whatever it lacks', (error, message) => {
    expect(read({ type: 'error', error })).toEqual({ type: 'error', error: { code: undefined, message } });
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
