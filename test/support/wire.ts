import { NO_USAGE, type ServerEvent } from '../../src/wire/openai.ts';
import type { TwilioMessage } from '../../src/wire/twilio.ts';

export const STREAM = 'MZ0123456789abcdef0123456789abcdef';

/** `ms` of mu-law audio in base64. */
export function audio(ms: number, byte = 0x55): string {
  return Buffer.alloc(ms * 8, byte).toString('base64');
}

export function frame(timestamp: number, base64 = audio(20)): TwilioMessage {
  return { event: 'media', streamSid: STREAM, media: { timestamp, payload: base64 } };
}

export function echo(name: string): TwilioMessage {
  return { event: 'mark', streamSid: STREAM, mark: { name } };
}

export function created(id: string): ServerEvent {
  return { type: 'response.created', response: { id } };
}

export function delta(response_id: string, item_id: string, ms: number, byte?: number): ServerEvent {
  return { type: 'response.output_audio.delta', response_id, item_id, delta: audio(ms, byte) };
}

export function done(id: string, usage = NO_USAGE): ServerEvent {
  return { type: 'response.done', response: { id, status: 'completed', error: undefined, usage } };
}

/** A response that failed, with OpenAI's code for why. */
export function failed(id: string, code = 'server_error'): ServerEvent {
  const error = { code, message: undefined };
  return { type: 'response.done', response: { id, status: 'failed', error, usage: NO_USAGE } };
}

export function error(code: string): ServerEvent {
  return { type: 'error', error: { code, message: undefined } };
}

export const speechStarted: ServerEvent = { type: 'input_audio_buffer.speech_started' };
export const speechStopped: ServerEvent = { type: 'input_audio_buffer.speech_stopped' };

/** The messages that Twilio and OpenAI are expected to get, as `Call` returns them. */
export const expected = {
  media: (base64: string) => ({
    to: 'twilio',
    message: { event: 'media', streamSid: STREAM, media: { payload: base64 } },
  }),
  mark: (name: string) => ({ to: 'twilio', message: { event: 'mark', streamSid: STREAM, mark: { name } } }),
  clear: { to: 'twilio', message: { event: 'clear', streamSid: STREAM } },
  append: (base64: string) => ({
    to: 'openai',
    message: { type: 'input_audio_buffer.append', audio: base64 },
  }),
  respond: { to: 'openai', message: { type: 'response.create' } },
  end: (reason: string, code?: string) => ({
    end: reason,
    ...(code !== undefined && { error: { code, message: undefined } }),
  }),
  truncate: (item_id: string, audio_end_ms: number) => ({
    to: 'openai',
    message: { type: 'conversation.item.truncate', item_id, content_index: 0, audio_end_ms },
  }),
};
