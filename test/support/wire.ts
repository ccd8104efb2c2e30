import { NO_TRANSCRIPTION, NO_USAGE, type ServerEvent } from '../../src/wire/openai.ts';
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

const response = { isEmpty: false, error: undefined, usage: NO_USAGE };

export function done(id: string, usage = NO_USAGE): ServerEvent {
  return { type: 'response.done', response: { ...response, id, status: 'completed', usage } };
}

/** A cancelled response. */
export function cancelled(id: string): ServerEvent {
  return { type: 'response.done', response: { ...response, id, status: 'cancelled' } };
}

/** A response of a model that chooses to say nothing. */
export function empty(id: string): ServerEvent {
  return { type: 'response.done', response: { ...response, id, status: 'completed', isEmpty: true } };
}

/** A response that OpenAI broke off: a filter, or too many tokens. */
export function incomplete(id: string, reason = 'content_filter'): ServerEvent {
  const error = { code: reason, message: undefined };
  return { type: 'response.done', response: { ...response, id, status: 'incomplete', error } };
}

/** A failed response with its error code. */
export function failed(id: string, code = 'server_error'): ServerEvent {
  const error = { code, message: undefined };
  return { type: 'response.done', response: { ...response, id, status: 'failed', error } };
}

export function error(code: string): ServerEvent {
  return { type: 'error', error: { code, message: undefined } };
}

export function press(digit: string): TwilioMessage {
  return { event: 'dtmf', streamSid: STREAM, dtmf: { digit } };
}

/** A function call of the model. */
export function functionCall(response_id: string, call_id: string, name: string, json = '{}'): ServerEvent {
  const item = { type: 'function_call', call_id, name, arguments: json } as const;
  return { type: 'response.output_item.done', response_id, item };
}

/** An item that is added to the conversation: a message by default. */
export function itemAdded(
  id: string,
  item: { type?: string; role?: 'user' | 'assistant' | 'system'; text?: string } = {},
  previous_item_id?: string,
): ServerEvent {
  const added = { id, type: 'message', role: undefined, text: undefined, ...item };
  return { type: 'conversation.item.added', previous_item_id, item: added };
}

/** A tool's output that is added to the conversation. */
export function outputAdded(id: string): ServerEvent {
  return itemAdded(id, { type: 'function_call_output' });
}

/** The transcript of the assistant's audio: a part of it, and all of it. */
export function saying(item_id: string, delta: string): ServerEvent {
  return { type: 'response.output_audio_transcript.delta', item_id, delta };
}
export function said(item_id: string, transcript: string): ServerEvent {
  return { type: 'response.output_audio_transcript.done', item_id, transcript };
}

/** The transcript of the caller's audio. */
export function written(item_id: string, transcript: string, seconds = 0): ServerEvent {
  const usage = { ...NO_TRANSCRIPTION, transcriptionSeconds: seconds };
  return { type: 'caller transcribed', item_id, transcript, usage };
}

export const speechStarted: ServerEvent = { type: 'input_audio_buffer.speech_started' };
export const speechStopped: ServerEvent = { type: 'input_audio_buffer.speech_stopped' };
/** The caller has been silent for so long that the assistant asks. */
export const timedOut: ServerEvent = { type: 'input_audio_buffer.timeout_triggered' };

/** The effects of a conversation that tests expect. */
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
    failure: { reason, ...(code !== undefined && { error: { code, message: undefined } }) },
  }),
  run: (name: string, callId: string, args: object = {}) => ({ run: name, callId, args }),
  failed: (failedTool: string, why: string) => ({ failedTool, why }),
  output: (call_id: string, output: string) => ({
    to: 'openai',
    message: { type: 'conversation.item.create', item: { type: 'function_call_output', call_id, output } },
  }),
  text: (role: 'system' | 'user', text: string) => ({
    to: 'openai',
    message: {
      type: 'conversation.item.create',
      item: { type: 'message', role, content: [{ type: 'input_text', text }] },
    },
  }),
  cancel: (response_id: string) => ({ to: 'openai', message: { type: 'response.cancel', response_id } }),
  hungUp: { end: 'assistant hung up', putThrough: undefined, isTold: true },
  putThrough: (to: string) => ({ end: 'put through', putThrough: to, isTold: true }),
  truncate: (item_id: string, audio_end_ms: number) => ({
    to: 'openai',
    message: { type: 'conversation.item.truncate', item_id, content_index: 0, audio_end_ms },
  }),
};
