import { describe, expect, it } from 'vitest';
import { parseServerEvent } from '../../src/wire/openai.ts';

const read = (event: unknown) => parseServerEvent(Buffer.from(JSON.stringify(event)), 'my-own-key');
const pcmu = { format: { type: 'audio/pcmu' } };
const pcm = { format: { type: 'audio/pcm', rate: 24000 } };
const NO_USAGE = { input: 0, output: 0, cached: 0, text: 0, audio: 0 };

describe('what OpenAI sends', () => {
  it.each([
    [
      { type: 'session.created', session: { id: 'sess_1' } },
      { type: 'session.created', session: { id: 'sess_1' } },
    ],
    [
      { type: 'session.updated', session: { audio: { input: pcmu, output: pcmu } } },
      { type: 'session.updated', isForPhone: true },
    ],
    [
      { type: 'session.updated', session: { audio: { input: pcmu, output: pcm } } },
      { type: 'session.updated', isForPhone: false },
    ],
    [
      { type: 'session.updated', session: { audio: { input: pcm, output: pcmu } } },
      { type: 'session.updated', isForPhone: false },
    ],
    [{ type: 'session.updated' }, { type: 'session.updated', isForPhone: false }],
    [
      { type: 'input_audio_buffer.speech_started', audio_start_ms: 5, item_id: 'u' },
      { type: 'input_audio_buffer.speech_started' },
    ],
    [
      { type: 'input_audio_buffer.speech_stopped', audio_end_ms: 5, item_id: 'u' },
      { type: 'input_audio_buffer.speech_stopped' },
    ],
    [
      { type: 'response.created', response: { id: 'r' } },
      { type: 'response.created', response: { id: 'r' } },
    ],
    [
      {
        type: 'response.output_audio.delta',
        event_id: 'e',
        response_id: 'r',
        item_id: 'a',
        output_index: 0,
        content_index: 0,
        delta: '/w==',
      },
      { type: 'response.output_audio.delta', response_id: 'r', item_id: 'a', delta: '/w==' },
    ],
    [
      {
        type: 'response.done',
        response: {
          id: 'r',
          status: 'cancelled',
          status_details: { type: 'cancelled', reason: 'turn_detected' },
        },
      },
      {
        type: 'response.done',
        response: { id: 'r', status: 'cancelled', error: undefined, usage: NO_USAGE },
      },
    ],
    [
      {
        type: 'response.done',
        response: {
          id: 'r',
          status: 'failed',
          status_details: { error: { code: 'c', message: 'm' } },
          usage: { input_tokens: 'x' },
        },
      },
      {
        type: 'response.done',
        response: { id: 'r', status: 'failed', error: { code: 'c', message: 'm' }, usage: NO_USAGE },
      },
    ],
    [
      { type: 'error', error: { code: null, message: 'm' } },
      { type: 'error', error: { code: undefined, message: 'm' } },
    ],
    [{ type: 'error' }, { type: 'error', error: { code: undefined, message: undefined } }],
    [{ type: 'rate_limits.updated', rate_limits: [] }, { type: 'other' }],
  ])('is read from %j', (event, expected) => {
    expect(read(event)).toEqual(expected);
  });

  it.each([
    [{ type: 'session.created', session: {} }],
    [{ type: 'response.created' }],
    [{ type: 'response.done', response: { id: 'r' } }],
    [{ type: 'response.output_audio.delta', response_id: 'r', item_id: 'a', delta: '"}' }],
    [{ type: 'response.output_audio.delta', response_id: 'r', delta: '/w==' }],
    [{ type: 'session.created', session: { id: 's'.repeat(201) } }],
    [{ type: 'response.created', response: { id: 'r 1' } }],
    [{ type: 7 }],
    [{}],
    ['text'],
  ])('is left unread when it is %j', (event) => {
    expect(read(event)).toBeUndefined();
  });
});
