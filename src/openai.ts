import { WebSocket } from 'ws';
import type { Assistant } from './assistant.ts';
import type { Config } from './config.ts';
import { isBase64, isObject, type JsonObject, parseObject } from './json.ts';
import { socketOptions } from './socket.ts';

// The Realtime API (GA) on the wire: https://platform.openai.com/docs/api-reference/realtime

/** What went wrong, in OpenAI's own words; either may be missing on the wire. */
export interface OpenAIError {
  code: string | undefined;
  message: string | undefined;
}

/** The audio formats that a session says it has, both ways. */
export interface SessionFormats {
  inputFormat: string | undefined;
  outputFormat: string | undefined;
}

/** What OpenAI sends, reduced to the events and fields that are read. */
export type ServerEvent =
  | { type: 'session.created'; session: { id: string } }
  | {
      type: 'session.updated';
      session: { inputFormat: string | undefined; outputFormat: string | undefined };
    }
  | { type: 'input_audio_buffer.speech_started' }
  | { type: 'input_audio_buffer.speech_stopped' }
  | { type: 'response.created'; response: { id: string } }
  | { type: 'response.output_audio.delta'; response_id: string; item_id: string; delta: string }
  | { type: 'response.done'; response: { id: string; status: string; error: OpenAIError | undefined } }
  | { type: 'error'; error: OpenAIError }
  | { type: 'other' };

/** What OpenAI is sent. */
export type ClientEvent =
  | { type: 'session.update'; session: object }
  | { type: 'input_audio_buffer.append'; audio: string }
  | { type: 'conversation.item.truncate'; item_id: string; content_index: 0; audio_end_ms: number }
  | { type: 'response.create'; response?: { instructions: string } };

/** Reads one text frame of OpenAI's; undefined for what isn't an event or lacks a field that is read. Never throws. */
export function parseServerEvent(text: string): ServerEvent | undefined {
  const event = parseObject(text);
  if (event === undefined) return undefined;
  const { type } = event;
  switch (type) {
    case 'session.created': {
      const { session } = event;
      if (!isObject(session) || typeof session.id !== 'string') return undefined;
      return { type, session: { id: session.id } };
    }
    case 'session.updated':
      if (!isObject(event.session)) return undefined;
      return {
        type,
        session: {
          inputFormat: audioFormat(event.session, 'input'),
          outputFormat: audioFormat(event.session, 'output'),
        },
      };
    case 'input_audio_buffer.speech_started':
    case 'input_audio_buffer.speech_stopped':
      return { type };
    case 'response.created': {
      const { response } = event;
      if (!isObject(response) || typeof response.id !== 'string') return undefined;
      return { type, response: { id: response.id } };
    }
    case 'response.output_audio.delta': {
      const { response_id, item_id, delta } = event;
      if (typeof response_id !== 'string' || typeof item_id !== 'string' || !isBase64(delta))
        return undefined;
      return { type, response_id, item_id, delta };
    }
    case 'response.done': {
      const { response } = event;
      if (!isObject(response) || typeof response.id !== 'string' || typeof response.status !== 'string') {
        return undefined;
      }
      const details = isObject(response.status_details) ? response.status_details : {};
      const error = isObject(details.error) ? parseError(details.error) : undefined;
      return { type, response: { id: response.id, status: response.status, error } };
    }
    case 'error':
      return { type, error: parseError(isObject(event.error) ? event.error : {}) };
    default:
      return typeof type === 'string' ? { type: 'other' } : undefined;
  }
}

function audioFormat(session: JsonObject, direction: 'input' | 'output'): string | undefined {
  const audio = isObject(session.audio) ? session.audio[direction] : undefined;
  const format = isObject(audio) ? audio.format : undefined;
  return isObject(format) && typeof format.type === 'string' ? format.type : undefined;
}

function parseError({ code, message }: JsonObject): OpenAIError {
  return {
    code: typeof code === 'string' ? code : undefined,
    message: typeof message === 'string' ? message : undefined,
  };
}

/** The text frame for `event`. */
export function encodeClientEvent(event: ClientEvent): string {
  return JSON.stringify(event);
}

/** Dials the Realtime API; that the key and the model are good is only known when `session.created` comes. */
export function dial({ realtimeUrl, model, openaiApiKey }: Config): WebSocket {
  const url = new URL(realtimeUrl);
  url.searchParams.set('model', model);
  return new WebSocket(url, { ...socketOptions, headers: { Authorization: `Bearer ${openaiApiKey}` } });
}

/** mu-law at 8 kHz, as Twilio has it; it takes no `rate`. */
const PHONE_AUDIO = 'audio/pcmu';

/** Configures a session for a telephone, with everything that would else vary by model. */
export function sessionUpdate({ instructions, voice, turnDetection }: Assistant): ClientEvent {
  const format = { type: PHONE_AUDIO };
  return {
    type: 'session.update',
    session: {
      type: 'realtime',
      output_modalities: ['audio'],
      instructions,
      audio: {
        input: {
          format,
          turn_detection: { ...turnDetection, create_response: true, interrupt_response: true },
        },
        output: { format, voice },
      },
    },
  };
}

/** Whether a session, as it now is, hears and speaks a telephone's audio. */
export function isForPhone({ inputFormat, outputFormat }: SessionFormats): boolean {
  return inputFormat === PHONE_AUDIO && outputFormat === PHONE_AUDIO;
}
