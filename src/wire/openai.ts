import { BASE64, isAudio, isPadded } from './audio.ts';
import { asObject, isId, isObject, type JsonObject, parseObject } from './json.ts';
import { withoutKey } from './loggable.ts';

// The Realtime API (GA) on the wire: https://platform.openai.com/docs/api-reference/realtime

/** What went wrong, in OpenAI's own words and fit to be logged; either may be missing on the wire. */
export interface OpenAIError {
  readonly code: string | undefined;
  readonly message: string | undefined;
  /** Which field of ours is wrong, as a dotted path. */
  readonly param?: string | undefined;
}

/** Tokens that a response took, each in one of the six kinds that have a price of their own. */
export const NO_USAGE = { textIn: 0, cachedTextIn: 0, audioIn: 0, cachedAudioIn: 0, textOut: 0, audioOut: 0 };
export type TokenUsage = typeof NO_USAGE;

export function addUsage(a: TokenUsage, b: TokenUsage): TokenUsage {
  return {
    textIn: a.textIn + b.textIn,
    cachedTextIn: a.cachedTextIn + b.cachedTextIn,
    audioIn: a.audioIn + b.audioIn,
    cachedAudioIn: a.cachedAudioIn + b.cachedAudioIn,
    textOut: a.textOut + b.textOut,
    audioOut: a.audioOut + b.audioOut,
  };
}

/** What transcription is billed by, depending on the model. */
export interface TranscriptionUsage {
  seconds: number;
  tokensIn: number;
  tokensOut: number;
}

/** A response that is over: its `status` is completed, cancelled, incomplete (with a `reason`) or failed (with an `error`). */
export interface ResponseDone {
  id: string;
  status: string;
  reason: string | undefined;
  /** Whether the model chose to say and do nothing. */
  isEmpty: boolean;
  error: OpenAIError | undefined;
  usage: TokenUsage;
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
  | { type: 'input_audio_buffer.timeout_triggered' }
  | { type: 'response.created'; response: { id: string } }
  | { type: 'response.output_audio.delta'; response_id: string; item_id: string; delta: string }
  | { type: 'response.done'; response: ResponseDone }
  | { type: 'response.output_audio_transcript.delta'; response_id?: string; item_id: string; delta: string }
  | { type: 'response.output_audio_transcript.done'; item_id: string; transcript: string }
  | { type: 'response.output_item.done'; response_id: string; item: FunctionCall }
  | { type: 'conversation.item.added'; previous_item_id: string | null | undefined; item: AddedItem }
  /** The transcription of the caller's words, empty if it failed; `usage` is in seconds or in tokens. */
  | { type: 'caller transcribed'; item_id: string; transcript: string; usage: TranscriptionUsage }
  | { type: 'error'; error: OpenAIError }
  | { type: 'other'; response_id?: string };

/** A tool that the model calls; `arguments` are JSON. A call that was cut off isn't `completed`, and must not be run. */
export interface FunctionCall {
  type: 'function_call';
  call_id: string;
  name: string;
  arguments: string;
}

/** An item that joined the conversation; `text` is that of a message that was sent as text. */
export interface AddedItem {
  id: string;
  type: string;
  role: string | undefined;
  text: string | undefined;
}

/** What a client adds to the conversation. */
export type NewItem =
  | { type: 'function_call_output'; call_id: string; output: string }
  | { type: 'message'; role: 'system' | 'user'; content: [{ type: 'input_text'; text: string }] }
  | { type: 'message'; role: 'assistant'; content: [{ type: 'output_text'; text: string }] };

/** What OpenAI is sent. */
export type ClientEvent =
  | { type: 'session.update'; session: object }
  | { type: 'input_audio_buffer.append'; audio: string }
  | { type: 'conversation.item.truncate'; item_id: string; content_index: 0; audio_end_ms: number }
  | { type: 'conversation.item.create'; item: NewItem }
  | { type: 'response.create'; response?: { tool_choice: 'none' } }
  | { type: 'response.cancel'; response_id: string };

/** A telephone's audio as a session is asked for it: mu-law at 8 kHz, which takes no `rate`. */
export const PHONE_AUDIO = 'audio/pcmu';

/** The audio delta exactly as OpenAI writes it: all before the audio, and the audio. */
const AUDIO_DELTA = new RegExp(
  String.raw`^(\{"type":"response\.output_audio\.delta","event_id":"\w+","response_id":"\w+","item_id":"\w+","output_index":\d+,"content_index":\d+),"delta":"(${BASE64})"\}$`,
);

/**
 * Reads one text frame of OpenAI's; undefined for what isn't an event or lacks a field that is read. Never throws.
 *
 * OpenAI's words come without `apiKey`, which it may quote.
 */
export function parseServerEvent(data: Buffer, apiKey: string): ServerEvent | undefined {
  const [, head, delta] = AUDIO_DELTA.exec(data.toString('latin1')) ?? [];
  if (head === undefined || delta === undefined || !isPadded(delta)) {
    return parseAnyEvent(data.toString(), apiKey);
  }
  // Ids cut out of the text would keep all of it, audio included, in memory for as long as they are needed.
  return audioDelta(parseObject(`${head}}`), delta);
}

function parseAnyEvent(text: string, apiKey: string): ServerEvent | undefined {
  const event = parseObject(text);
  if (event === undefined) return undefined;
  const { type } = event;
  switch (type) {
    case 'session.created': {
      const { id, expires_at } = asObject(event.session);
      if (!isId(id)) return undefined;
      const expiresAt = typeof expires_at === 'number' ? expires_at * 1_000 : undefined;
      return { type, session: { id: withoutKey(id, apiKey), expiresAt } };
    }
    case 'session.updated':
      return { type, isForPhone: isForPhone(event.session) };
    case 'input_audio_buffer.speech_started':
    case 'input_audio_buffer.speech_stopped':
    case 'input_audio_buffer.timeout_triggered':
      return { type };
    case 'response.created': {
      const { id } = asObject(event.response);
      return isId(id) ? { type, response: { id } } : undefined;
    }
    case 'response.output_audio.delta':
      return audioDelta(event, isAudio(event.delta) ? event.delta : undefined);
    case 'response.done': {
      const { id, status, status_details, output, usage } = asObject(event.response);
      if (!isId(id) || typeof status !== 'string') return undefined;
      const { error, reason } = asObject(status_details);
      const isEmpty = status === 'completed' && Array.isArray(output) && output.length === 0;
      return {
        type,
        response: {
          ...{ id, status, isEmpty, usage: parseUsage(usage) },
          reason: typeof reason === 'string' ? withoutKey(reason, apiKey) : undefined,
          error: parseError(error, apiKey),
        },
      };
    }
    case 'response.output_audio_transcript.delta': {
      const { item_id, delta } = event;
      return isId(item_id) && typeof delta === 'string'
        ? { type, ...ofResponse(event), item_id, delta }
        : undefined;
    }
    case 'response.output_audio_transcript.done': {
      const { item_id, transcript } = event;
      return isId(item_id) && typeof transcript === 'string' ? { type, item_id, transcript } : undefined;
    }
    case 'conversation.item.input_audio_transcription.failed':
    case 'conversation.item.input_audio_transcription.completed': {
      const { item_id, transcript = '', usage } = event;
      if (!isId(item_id) || typeof transcript !== 'string') return undefined;
      const { seconds, input_tokens, output_tokens } = asObject(usage);
      const counts = {
        seconds: count(seconds),
        tokensIn: count(input_tokens),
        tokensOut: count(output_tokens),
      };
      return { type: 'caller transcribed', item_id, transcript, usage: counts };
    }
    case 'response.output_item.done':
      return functionCall(event.response_id, asObject(event.item));
    case 'conversation.item.added':
      return addedItem(event.previous_item_id, asObject(event.item));
    case 'error':
      return { type, error: parseError(event.error, apiKey) ?? { code: undefined, message: undefined } };
    default:
      return typeof type === 'string' ? { type: 'other', ...ofResponse(event) } : undefined;
  }
}

/** Reads the `error` of an event, of a failed response or of an HTTP body, without `apiKey`; undefined if there is none. */
export function parseError(error: unknown, apiKey: string): OpenAIError | undefined {
  if (!isObject(error)) return undefined;
  const text = (value: unknown) => (typeof value === 'string' ? withoutKey(value, apiKey) : undefined);
  const [code, message, param] = [error.code ?? error.type, error.message, error.param].map(text);
  return { code, message, ...(param !== undefined && { param }) };
}

function audioDelta(event: JsonObject | undefined, delta: string | undefined): ServerEvent | undefined {
  const { response_id, item_id } = event ?? {};
  if (!isId(response_id) || !isId(item_id) || delta === undefined) return undefined;
  return { type: 'response.output_audio.delta', response_id, item_id, delta };
}

/** The response that an event belongs to, if any. */
function ofResponse({ response_id }: JsonObject): { response_id?: string } {
  return isId(response_id) ? { response_id } : {};
}

/** Ignores incomplete calls and other item types. */
function functionCall(response_id: unknown, item: JsonObject): ServerEvent | undefined {
  const { type, status, call_id, name, arguments: json } = item;
  if (type !== 'function_call' || status !== 'completed')
    return { type: 'other', ...ofResponse({ response_id }) };
  if (!isId(response_id) || !isId(call_id) || typeof name !== 'string' || typeof json !== 'string')
    return undefined;
  return { type: 'response.output_item.done', response_id, item: { type, call_id, name, arguments: json } };
}

function addedItem(previous: unknown, item: JsonObject): ServerEvent | undefined {
  const { id, type, role, content } = item;
  if (!isId(id) || typeof type !== 'string') return undefined;
  const [part] = Array.isArray(content) ? content : [];
  const { type: kind, text } = asObject(part);
  return {
    type: 'conversation.item.added',
    previous_item_id: isId(previous) || previous === null ? previous : undefined,
    item: {
      id,
      type,
      role: typeof role === 'string' ? role : undefined,
      text: (kind === 'input_text' || kind === 'output_text') && typeof text === 'string' ? text : undefined,
    },
  };
}

/** Whether a session, as it says it now is, hears and speaks a telephone's audio. */
function isForPhone(session: unknown): boolean {
  const { input, output } = asObject(asObject(session).audio);
  return [input, output].every((side) => asObject(asObject(side).format).type === PHONE_AUDIO);
}

/** OpenAI's counts of text and audio have the cached ones in them. */
function parseUsage(usage: unknown): TokenUsage {
  const { input_token_details, output_token_details } = asObject(usage);
  const input = asObject(input_token_details);
  const cached = asObject(input.cached_tokens_details);
  const output = asObject(output_token_details);
  const cachedTextIn = count(cached.text_tokens);
  const cachedAudioIn = count(cached.audio_tokens);
  return {
    textIn: Math.max(0, count(input.text_tokens) - cachedTextIn),
    cachedTextIn,
    audioIn: Math.max(0, count(input.audio_tokens) - cachedAudioIn),
    cachedAudioIn,
    textOut: count(output.text_tokens),
    audioOut: count(output.audio_tokens),
  };
}

function count(value: unknown): number {
  return typeof value === 'number' && value > 0 ? value : 0;
}

/** The text frame for `event`, without half a surrogate pair: OpenAI rejects it. */
export function encodeClientEvent(event: ClientEvent): Buffer {
  if (event.type !== 'input_audio_buffer.append') return Buffer.from(JSON.stringify(event, wellFormed));
  return Buffer.from(`{"type":"input_audio_buffer.append","audio":"${event.audio}"}`, 'latin1');
}

function wellFormed(_key: string, value: unknown): unknown {
  return typeof value === 'string' ? value.toWellFormed() : value;
}
