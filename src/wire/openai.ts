import { BASE64, isAudio, isPadded } from './audio.ts';
import { asObject, asText, isId, isObject, type JsonObject, parseObject } from './json.ts';
import { withoutKey } from './loggable.ts';

// The Realtime API (GA) on the wire: https://platform.openai.com/docs/api-reference/realtime

/** OpenAI's own words, fit to be logged. The wire may lack any of them. */
export interface OpenAIError {
  readonly code?: string | undefined;
  readonly message?: string | undefined;
  /** The field of ours that is wrong, as a dotted path. */
  readonly param?: string | undefined;
}

/** A response's tokens, in the six kinds that have a price of their own. */
export const NO_USAGE = { textIn: 0, cachedTextIn: 0, audioIn: 0, cachedAudioIn: 0, textOut: 0, audioOut: 0 };
export type TokenUsage = typeof NO_USAGE;

/** What a transcription is billed by: seconds or tokens, depending on the model. */
export const NO_TRANSCRIPTION = {
  transcriptionSeconds: 0,
  transcriptionTokensIn: 0,
  transcriptionTokensOut: 0,
};

/** A response that is over: its `status` is completed, cancelled, or incomplete or failed with an `error`. */
export interface ResponseDone {
  id: string;
  status: string;
  /** Whether the model chose to say and do nothing. */
  isEmpty: boolean;
  error: OpenAIError | undefined;
  usage: TokenUsage;
}

/** OpenAI's events, reduced to the fields that are read. `expiresAt` is in ms since 1970. */
export type ServerEvent =
  | { type: 'session.created'; session: { id: string; expiresAt: number | undefined } }
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
  /** The transcription of the caller's words, empty if it failed. */
  | { type: 'caller transcribed'; item_id: string; transcript: string; usage: typeof NO_TRANSCRIPTION }
  | { type: 'error'; error: OpenAIError }
  | { type: 'other'; response_id?: string };

/** A complete call of a tool; `arguments` are JSON. */
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

/** An item that a client adds to the conversation; the `output_text` is the assistant's. */
export type NewItem =
  | { type: 'function_call_output'; call_id: string; output: string }
  | { type: 'message'; role: string; content: [{ type: 'input_text' | 'output_text'; text: string }] };

export type ClientEvent =
  | { type: 'session.update'; session: object }
  | { type: 'input_audio_buffer.append'; audio: string }
  | { type: 'conversation.item.truncate'; item_id: string; content_index: 0; audio_end_ms: number }
  | { type: 'conversation.item.create'; item: NewItem }
  | { type: 'response.create'; response?: { tool_choice: 'none' } }
  | { type: 'response.cancel'; response_id: string };

/** A telephone's audio in a session: mu-law at 8 kHz, which takes no `rate`. */
export const PHONE_AUDIO = 'audio/pcmu';

/** The audio delta exactly as OpenAI writes it: all before the audio, and the audio. */
const AUDIO_DELTA = new RegExp(
  String.raw`^(\{"type":"response\.output_audio\.delta","event_id":"\w+","response_id":"\w+","item_id":"\w+","output_index":\d+,"content_index":\d+),"delta":"(${BASE64})"\}$`,
);

/**
 * Returns the event in one text frame; undefined if it is none or lacks a field that is read. Never throws.
 *
 * OpenAI's words come without `apiKey`, which it may quote.
 */
export function parseServerEvent(data: Buffer, apiKey: string): ServerEvent | undefined {
  const [, head, delta] = AUDIO_DELTA.exec(data.toString('latin1')) ?? [];
  if (head === undefined || delta === undefined || !isPadded(delta)) {
    return parseAnyEvent(parseObject(data.toString()) ?? {}, apiKey);
  }
  // Ids cut out of the text would keep all of it, audio included, in memory for as long as they are needed.
  return audioDelta(parseObject(`${head}}`), delta);
}

function parseAnyEvent(event: JsonObject, apiKey: string): ServerEvent | undefined {
  const { type, response_id, item_id, delta, transcript } = event;
  const ofResponse = isId(response_id) ? { response_id } : {};
  switch (type) {
    case 'session.created': {
      const { id, expires_at } = asObject(event.session);
      const expiresAt = typeof expires_at === 'number' ? expires_at * 1_000 : undefined;
      return isId(id) ? { type, session: { id: withoutKey(id, apiKey), expiresAt } } : undefined;
    }
    case 'session.updated': {
      const { input, output } = asObject(asObject(event.session).audio);
      const isForPhone = [input, output].every(
        (side) => asObject(asObject(side).format).type === PHONE_AUDIO,
      );
      return { type, isForPhone };
    }
    case 'input_audio_buffer.speech_started':
    case 'input_audio_buffer.speech_stopped':
    case 'input_audio_buffer.timeout_triggered':
      return { type };
    case 'response.created': {
      const { id } = asObject(event.response);
      return isId(id) ? { type, response: { id } } : undefined;
    }
    case 'response.output_audio.delta':
      return isAudio(delta) ? audioDelta(event, delta) : undefined;
    case 'response.done': {
      const { id, status, status_details, output, usage } = asObject(event.response);
      if (!isId(id) || typeof status !== 'string') return undefined;
      const { error: cause, reason } = asObject(status_details);
      const error = parseError(status === 'incomplete' ? { code: reason } : cause, apiKey);
      const isEmpty = status === 'completed' && Array.isArray(output) && output.length === 0;
      return { type, response: { id, status, isEmpty, error, usage: tokenUsage(asObject(usage)) } };
    }
    case 'response.output_audio_transcript.delta':
      if (!isId(item_id) || typeof delta !== 'string') return undefined;
      return { type, ...ofResponse, item_id, delta };
    case 'response.output_audio_transcript.done':
      return isId(item_id) && typeof transcript === 'string' ? { type, item_id, transcript } : undefined;
    case 'conversation.item.input_audio_transcription.failed':
    case 'conversation.item.input_audio_transcription.completed': {
      if (!isId(item_id)) return undefined;
      const { seconds, input_tokens, output_tokens } = asObject(event.usage);
      const usage = {
        transcriptionSeconds: count(seconds),
        transcriptionTokensIn: count(input_tokens),
        transcriptionTokensOut: count(output_tokens),
      };
      return { type: 'caller transcribed', item_id, transcript: asText(transcript) ?? '', usage };
    }
    case 'response.output_item.done': {
      const { type: kind, status, call_id, name, arguments: json } = asObject(event.item);
      // A call that was cut off must not be run; other items are not read.
      if (kind !== 'function_call' || status !== 'completed') return { type: 'other', ...ofResponse };
      if (!isId(response_id) || !isId(call_id) || typeof name !== 'string' || typeof json !== 'string')
        return undefined;
      return { type, response_id, item: { type: kind, call_id, name, arguments: json } };
    }
    case 'conversation.item.added': {
      const { previous_item_id: previous } = event;
      const { id, type: kind, role, content } = asObject(event.item);
      if (!isId(id) || typeof kind !== 'string') return undefined;
      const part = asObject(Array.isArray(content) ? content[0] : undefined);
      const isText = part.type === 'input_text' || part.type === 'output_text';
      const item = { id, type: kind, role: asText(role), text: isText ? asText(part.text) : undefined };
      return { type, previous_item_id: isId(previous) || previous === null ? previous : undefined, item };
    }
    case 'error':
      return { type, error: parseError(event.error, apiKey) ?? {} };
    default:
      return typeof type === 'string' ? { type: 'other', ...ofResponse } : undefined;
  }
}

/** Returns the `error` of an event, of a failed response or of an HTTP body, without `apiKey`; undefined if there is none. */
export function parseError(error: unknown, apiKey: string): OpenAIError | undefined {
  if (!isObject(error)) return undefined;
  const text = (value: unknown) => (typeof value === 'string' ? withoutKey(value, apiKey) : undefined);
  const code = asText(error.code ?? error.type);
  // Decisions depend on it: a short key may be a part of it.
  const isName = code !== undefined && /^\w{1,100}$/.test(code) && code !== apiKey;
  return { code: isName ? code : text(code), message: text(error.message), param: text(error.param) };
}

function audioDelta(event: JsonObject | undefined, delta: string): ServerEvent | undefined {
  const { response_id, item_id } = event ?? {};
  if (!isId(response_id) || !isId(item_id)) return undefined;
  return { type: 'response.output_audio.delta', response_id, item_id, delta };
}

/** OpenAI's counts of text and audio include the cached ones. */
function tokenUsage({ input_token_details, output_token_details }: JsonObject): TokenUsage {
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

/** Returns the text frame of `event`, without half a surrogate pair: OpenAI rejects it. */
export function encodeClientEvent(event: ClientEvent): Buffer {
  if (event.type !== 'input_audio_buffer.append') return Buffer.from(JSON.stringify(event, wellFormed));
  return Buffer.from(`{"type":"input_audio_buffer.append","audio":"${event.audio}"}`, 'latin1');
}

function wellFormed(_key: string, value: unknown): unknown {
  return typeof value === 'string' ? value.toWellFormed() : value;
}
