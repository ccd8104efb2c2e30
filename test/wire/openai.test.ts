import { describe, expect, it } from 'vitest';
import { NO_USAGE, parseServerEvent } from '../../src/wire/openai.ts';

const read = (event: unknown) => parseServerEvent(Buffer.from(JSON.stringify(event)), 'my-own-key');

const pcmu = { format: { type: 'audio/pcmu' } };
const pcm = { format: { type: 'audio/pcm', rate: 24000 } };
const delta = { type: 'response.output_audio.delta', response_id: 'r', item_id: 'a', delta: '/w==' };

function done(response: object): { type: string; response: object } {
  return { type: 'response.done', response: { id: 'r', ...response } };
}

describe('what OpenAI sends', () => {
  it.each([
    { type: 'session.created', session: { id: 'sess_1', expiresAt: undefined } },
    { type: 'response.created', response: { id: 'r' } },
    delta,
  ])('The event %j is read as it stands, whatever else it has', (event) => {
    expect(read({ ...event, event_id: 'e', output_index: 0 })).toEqual(event);
  });

  it.each(['input_audio_buffer.speech_started', 'input_audio_buffer.speech_stopped'])(
    'Of the event %s, no more than its type is read',
    (type) => {
      expect(read({ type, audio_start_ms: 5, item_id: 'u' })).toEqual({ type });
    },
  );

  it('The time at which a session expires is read in ms', () => {
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
  ])('It is %s that a session is for a phone when it is updated to %j', (isForPhone, session) => {
    expect(read({ type: 'session.updated', session })).toEqual({ type: 'session.updated', isForPhone });
  });

  it.each([
    [
      { status: 'cancelled', status_details: { type: 'cancelled', reason: 'turn_detected' } },
      { status: 'cancelled', error: undefined, usage: NO_USAGE },
    ],
    [
      {
        status: 'failed',
        status_details: { error: { code: 'c', message: 'm' } },
        usage: { input_tokens: 'x' },
      },
      { status: 'failed', error: { code: 'c', message: 'm' }, usage: NO_USAGE },
    ],
  ])('A response that is over is read from %j', (response, expected) => {
    expect(read(done(response))).toEqual(done(expected));
  });

  it.each([
    [{ code: null, message: 'm' }, 'm'],
    [undefined, undefined],
  ])('An error is read from %j, whatever it lacks', (error, message) => {
    expect(read({ type: 'error', error })).toEqual({ type: 'error', error: { code: undefined, message } });
  });

  it('An event that nobody acts on is read as another', () => {
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
  ])('No event is read from %j', (event) => {
    expect(read(event)).toBeUndefined();
  });
});
