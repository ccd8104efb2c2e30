import { describe, expect, it } from 'vitest';
import { assistant } from '../src/assistant.ts';
import { isFatal, remedy, withoutKey } from '../src/openai-error.ts';
import { parseServerEvent, sessionUpdate } from '../src/wire/openai.ts';

const read = (event: unknown) => parseServerEvent(Buffer.from(JSON.stringify(event)));
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
    [{ type: 7 }],
    [{}],
    ['text'],
  ])('is left unread when it is %j', (event) => {
    expect(read(event)).toBeUndefined();
  });
});

describe('the session', () => {
  it('has no rate for mu-law and no temperature, and interrupts and answers by itself', () => {
    const update = JSON.stringify(sessionUpdate(assistant));
    expect(update).not.toMatch(/"rate"|"temperature"/);
    expect(update).toContain('"create_response":true,"interrupt_response":true');
  });

  it('takes semantic turn detection as it stands', () => {
    const update = sessionUpdate({ ...assistant, turnDetection: { type: 'semantic_vad', eagerness: 'low' } });
    expect(update).toMatchObject({
      session: { audio: { input: { turn_detection: { type: 'semantic_vad', eagerness: 'low' } } } },
    });
  });
});

describe('what to do about an error', () => {
  const closed = (code: number, reason = '') => ({ closed: { code, reason } });
  const error = (code: string) => ({ error: { code, message: undefined } });

  it.each([
    [error('invalid_api_key'), 'OPENAI_API_KEY'],
    [closed(3000, 'invalid_request_error.invalid_api_key'), 'OPENAI_API_KEY'],
    [closed(3000), 'OPENAI_API_KEY'],
    [{ httpStatus: 401 }, 'OPENAI_API_KEY'],
    [error('insufficient_quota'), 'quota'],
    [closed(1013), 'quota'],
    [error('model_not_found'), 'OPENAI_REALTIME_MODEL'],
    [closed(4000, 'invalid_request_error.missing_model'), 'OPENAI_REALTIME_MODEL'],
    [closed(4004), 'OPENAI_REALTIME_MODEL'],
  ])('is said for %j', (context, words) => {
    expect(remedy({ reason: 'openai closed', ...context })).toContain(words);
  });

  it.each([
    [{}],
    [error('server_error')],
    [closed(1006)],
    [closed(1001, 'Your session hit the maximum.')],
    [{ httpStatus: 503 }],
  ])('is nothing for %j, which may pass', (context) => {
    expect(remedy({ reason: 'openai closed', ...context })).toBeUndefined();
  });

  it('is to look at the network where OpenAI was not reached at all', () => {
    expect(remedy({ reason: 'dialling failed', ...closed(1006) })).toContain('OPENAI_REALTIME_URL');
    expect(remedy({ reason: 'dialling failed', httpStatus: 503, ...closed(1006) })).toBeUndefined();
  });

  it('is not guessed from a number where OpenAI gives a reason', () => {
    expect(
      remedy({ reason: 'dialling failed', httpStatus: 429, ...error('rate_limit_exceeded') }),
    ).toBeUndefined();
  });

  it('is to hang up where another try would fail as well', () => {
    expect(isFatal({ code: 'insufficient_quota', message: undefined })).toBe(true);
    expect(isFatal({ code: 'server_error', message: undefined })).toBe(false);
    expect(isFatal(undefined)).toBe(false);
  });
});

describe('what may be logged', () => {
  it.each([
    ['Incorrect API key provided: sk-proj-ab*yz. Find it.', 'Incorrect API key provided: sk-… Find it.'],
    ['The key my-own-key, is refused.', 'The key …, is refused.'],
    ['No key in it.', 'No key in it.'],
  ])('has no key, or part of one: %s', (text, logged) => {
    expect(withoutKey(text, 'my-own-key')).toBe(logged);
  });
});
