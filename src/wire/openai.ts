import { WebSocket } from 'ws';
import type { Assistant } from '../assistant.ts';
import type { Config } from '../config.ts';
import { type OpenAIError, parseError } from '../openai-error.ts';
import { BASE64, isAudio, isPadded } from './audio.ts';
import { isObject, type JsonObject, parseObject } from './json.ts';
import { socketOptions } from './socket.ts';

// The Realtime API (GA) on the wire: https://platform.openai.com/docs/api-reference/realtime

/** Tokens that a response took; `text` and `audio` are both ways together. */
export interface Usage {
  input: number;
  output: number;
  cached: number;
  text: number;
  audio: number;
}

/** A response that is over: its `status` is completed, cancelled, incomplete or failed. */
export interface ResponseDone {
  id: string;
  status: string;
  error: OpenAIError | undefined;
  usage: Usage;
}

/** A session as it begins; `expiresAt` is in ms since 1970, if OpenAI says. */
export interface SessionInfo {
  id: string;
  expiresAt: number | undefined;
}

/** What OpenAI sends, reduced to the events and fields that are read. */
export type ServerEvent =
  | { type: 'session.created'; session: SessionInfo }
  | { type: 'session.updated'; isForPhone: boolean }
  | { type: 'input_audio_buffer.speech_started' }
  | { type: 'input_audio_buffer.speech_stopped' }
  | { type: 'response.created'; response: { id: string } }
  | { type: 'response.output_audio.delta'; response_id: string; item_id: string; delta: string }
  | { type: 'response.done'; response: ResponseDone }
  | { type: 'error'; error: OpenAIError }
  | { type: 'other' };

/** What OpenAI is sent. */
export type ClientEvent =
  | { type: 'session.update'; session: object }
  | { type: 'input_audio_buffer.append'; audio: string }
  | { type: 'conversation.item.truncate'; item_id: string; content_index: 0; audio_end_ms: number }
  | { type: 'response.create'; response?: { instructions: string } };

/** The audio delta exactly as OpenAI writes it. */
const AUDIO_DELTA = new RegExp(
  String.raw`^(?<head>\{"type":"response\.output_audio\.delta","event_id":"\w+","response_id":"\w+","item_id":"\w+","output_index":\d+,"content_index":\d+),"delta":"(?<delta>${BASE64})"\}$`,
);

/** Reads one text frame of OpenAI's; undefined for what isn't an event or lacks a field that is read. Never throws. */
export function parseServerEvent(data: Buffer): ServerEvent | undefined {
  const { head, delta } = AUDIO_DELTA.exec(data.toString('latin1'))?.groups ?? {};
  if (head === undefined || delta === undefined || !isPadded(delta)) return parseAnyEvent(data.toString());
  // Ids cut out of the text would keep all of it, audio included, in memory for as long as they are needed.
  return audioDelta(parseObject(`${head}}`), delta);
}

function parseAnyEvent(text: string): ServerEvent | undefined {
  const event = parseObject(text);
  if (event === undefined) return undefined;
  const { type } = event;
  switch (type) {
    case 'session.created': {
      const { session } = event;
      if (!isObject(session) || typeof session.id !== 'string') return undefined;
      const { id, expires_at } = session;
      return {
        type,
        session: { id, expiresAt: typeof expires_at === 'number' ? expires_at * 1_000 : undefined },
      };
    }
    case 'session.updated':
      return { type, isForPhone: isForPhone(event.session) };
    case 'input_audio_buffer.speech_started':
    case 'input_audio_buffer.speech_stopped':
      return { type };
    case 'response.created': {
      const { response } = event;
      if (!isObject(response) || typeof response.id !== 'string') return undefined;
      return { type, response: { id: response.id } };
    }
    case 'response.output_audio.delta':
      return audioDelta(event, isAudio(event.delta) ? event.delta : undefined);
    case 'response.done': {
      const { response } = event;
      if (!isObject(response) || typeof response.id !== 'string' || typeof response.status !== 'string') {
        return undefined;
      }
      const { id, status, status_details, usage } = response;
      const error = isObject(status_details) ? status_details.error : undefined;
      return { type, response: { id, status, error: parseError(error), usage: parseUsage(usage) } };
    }
    case 'error':
      return { type, error: parseError(event.error) ?? NO_DETAILS };
    default:
      return typeof type === 'string' ? { type: 'other' } : undefined;
  }
}

function audioDelta(event: JsonObject | undefined, delta: string | undefined): ServerEvent | undefined {
  const { response_id, item_id } = event ?? {};
  if (typeof response_id !== 'string' || typeof item_id !== 'string' || delta === undefined) return undefined;
  return { type: 'response.output_audio.delta', response_id, item_id, delta };
}

/** mu-law at 8 kHz, as Twilio has it; it takes no `rate`. */
const PHONE_AUDIO = 'audio/pcmu';

/** Whether a session, as it says it now is, hears and speaks a telephone's audio. */
function isForPhone(session: unknown): boolean {
  const audio = isObject(session) && isObject(session.audio) ? session.audio : {};
  return [audio.input, audio.output].every(
    (direction) => isObject(direction) && isObject(direction.format) && direction.format.type === PHONE_AUDIO,
  );
}

const NO_DETAILS: OpenAIError = { code: undefined, message: undefined };

function parseUsage(usage: unknown): Usage {
  const total = isObject(usage) ? usage : {};
  const input = isObject(total.input_token_details) ? total.input_token_details : {};
  const output = isObject(total.output_token_details) ? total.output_token_details : {};
  return {
    input: tokens(total.input_tokens),
    output: tokens(total.output_tokens),
    cached: tokens(input.cached_tokens),
    text: tokens(input.text_tokens) + tokens(output.text_tokens),
    audio: tokens(input.audio_tokens) + tokens(output.audio_tokens),
  };
}

function tokens(count: unknown): number {
  return typeof count === 'number' && count > 0 ? count : 0;
}

/** The text frame for `event`. */
export function encodeClientEvent(event: ClientEvent): Buffer {
  if (event.type !== 'input_audio_buffer.append') return Buffer.from(JSON.stringify(event));
  return Buffer.from(`{"type":"input_audio_buffer.append","audio":"${event.audio}"}`);
}

/** How long OpenAI may take to accept a socket, in ms; 0.8 to 2.1 s is usual. */
const HANDSHAKE_MS = 4_000;
/** The longest message that OpenAI may send, in bytes; its deltas have a few thousand. */
const MOST_BYTES = 4_194_304;

/** Dials the Realtime API; that the key and the model are good is only known when `session.created` comes. */
export function dial({ realtimeUrl, model, openaiApiKey }: Config): WebSocket {
  const url = new URL(realtimeUrl);
  url.searchParams.set('model', model);
  return new WebSocket(url, {
    ...socketOptions,
    handshakeTimeout: HANDSHAKE_MS,
    maxPayload: MOST_BYTES,
    headers: { Authorization: `Bearer ${openaiApiKey}` },
  });
}

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
