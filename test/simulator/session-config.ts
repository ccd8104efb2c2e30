import { randomInt } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { isObject, type JsonObject } from '../../src/wire/json.ts';

/** What is wrong with a message, as the Realtime API words it; `param` is a dotted path. */
export interface ApiError {
  code: string;
  message: string;
  param?: string | null;
}

/** The part of a server_vad that the parrot goes by; times in ms. */
export interface VoiceActivity {
  threshold: number;
  prefix_padding_ms: number;
  silence_duration_ms: number;
}

/** A session in effect, in its wire shape. */
export interface SessionConfig {
  audio: {
    input: { format: { type: string }; turn_detection: Partial<VoiceActivity> };
    output: { format: { type: string }; voice: string | { id: string } };
  };
}

const BASE62 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** A new id as OpenAI makes them: the prefix and 21 letters or digits. */
export function newId(prefix: string): string {
  return `${prefix}_${Array.from({ length: 21 }, () => BASE62.charAt(randomInt(62))).join('')}`;
}

const VAD: VoiceActivity = { threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 500 };

/** The session that a client gets before it asks for another, which is one for 24 kHz PCM. */
export function defaultSession(model: string): SessionConfig {
  const format = { type: 'audio/pcm', rate: 24_000 };
  const turn_detection = { type: 'server_vad', ...VAD, create_response: true, interrupt_response: true };
  const session = {
    type: 'realtime',
    object: 'realtime.session',
    id: newId('sess'),
    model,
    output_modalities: ['audio'],
    instructions: 'Your knowledge cutoff is 2023-10. …',
    tools: [],
    tool_choice: 'auto',
    max_output_tokens: 'inf',
    truncation: 'auto',
    expires_at: Math.floor(Date.now() / 1000) + 3600,
    audio: {
      input: { format, transcription: null, noise_reduction: null, turn_detection },
      output: { format, voice: 'marin', speed: 1 },
    },
  };
  return session;
}

/** `current` with a session.update's `session` applied whole, or what is wrong with it; once the assistant has spoken, its voice stays. */
export function updateSession(
  current: SessionConfig,
  update: unknown,
  hasSpoken: boolean,
): SessionConfig | { error: ApiError } {
  const error = checkSession(update, 'session');
  if (error !== undefined) return { error };
  const session = merge(current, isObject(update) ? update : {});
  if (hasSpoken && !isDeepStrictEqual(session.audio.output.voice, current.audio.output.voice)) {
    const message = "Cannot update a conversation's voice if assistant audio is present.";
    return { error: { code: 'cannot_update_voice', message } };
  }
  return session;
}

/** How a session finds turns, with what is left open filled in. */
export function voiceActivity({ audio }: SessionConfig): VoiceActivity {
  return { ...VAD, ...audio.input.turn_detection };
}

/** Objects are merged, unless the update's is of another type: an audio/pcmu keeps no rate of an audio/pcm. */
function merge<T extends object>(current: T, update: JsonObject): T {
  const before = new Map<string, unknown>(Object.entries(current));
  const merged: JsonObject = {};
  for (const [key, value] of Object.entries(update)) {
    const old = before.get(key);
    const mergeable = isObject(old) && isObject(value) && (!('type' in value) || value.type === old.type);
    merged[key] = mergeable ? merge(old, value) : value;
  }
  return { ...current, ...merged };
}

type Check = (value: unknown, param: string) => ApiError | undefined;

const is =
  (expected: string, test: (value: unknown) => boolean): Check =>
  (value, param) =>
    test(value)
      ? undefined
      : { code: 'invalid_value', message: `Invalid value: '${param}' must be ${expected}.`, param };
const oneOf = (...values: unknown[]) => is(`one of ${values.join(', ')}`, (value) => values.includes(value));
const within = (min: number, max: number) =>
  is(`${min} to ${max}`, (value) => typeof value === 'number' && value >= min && value <= max);
const text = is('a string', (value) => typeof value === 'string');
const dictionary = is('an object', isObject);
const either =
  (...checks: Check[]): Check =>
  (value, param) => {
    const errors = checks.map((check) => check(value, param));
    return errors.includes(undefined) ? undefined : errors.at(-1);
  };
const nullable = (check: Check) => either(oneOf(null), check);

const arrayOf =
  (check: Check): Check =>
  (value, param) => {
    if (!Array.isArray(value)) return is('an array', Array.isArray)(value, param);
    return value.map((element, i) => check(element, `${param}[${i}]`)).find((error) => error !== undefined);
  };

const object =
  (shape: Record<string, Check>, required: string[] = []): Check =>
  (value, param) => {
    if (!isObject(value)) return dictionary(value, param);
    const missing = required.find((key) => !(key in value));
    if (missing !== undefined) {
      const path = `${param}.${missing}`;
      const message = `Missing required parameter: '${path}'.`;
      return { code: 'missing_required_parameter', message, param: path };
    }
    for (const [key, field] of Object.entries(value)) {
      const path = `${param}.${key}`;
      const check = Object.hasOwn(shape, key) ? shape[key] : undefined;
      if (check === undefined) {
        return { code: 'unknown_parameter', message: `Unknown parameter: '${path}'.`, param: path };
      }
      const error = check(field, path);
      if (error !== undefined) return error;
    }
    return undefined;
  };

/** An object whose `type` decides what else it may hold. */
const variant =
  (shapes: Record<string, Record<string, Check>>): Check =>
  (value, param) => {
    const type = isObject(value) && typeof value.type === 'string' ? value.type : '';
    return object({ type: oneOf(...Object.keys(shapes)), ...shapes[type] }, ['type'])(value, param);
  };

// What this project sends, and no more: the real API takes other fields, too.
const format = variant({ 'audio/pcm': { rate: oneOf(24_000) }, 'audio/pcmu': {} });
const turnTaking = { create_response: oneOf(true), interrupt_response: oneOf(true) };
const ms = within(0, 30_000);
const voices = ['alloy', 'ash', 'ballad', 'coral', 'echo', 'sage', 'shimmer', 'verse', 'marin', 'cedar'];

const checkSession = object(
  {
    type: oneOf('realtime'),
    output_modalities: is('["audio"]', (value) => isDeepStrictEqual(value, ['audio'])),
    instructions: text,
    tools: arrayOf(variant({ function: { name: text, description: text, parameters: dictionary } })),
    tool_choice: either(oneOf('auto', 'none', 'required'), variant({ function: { name: text } })),
    max_output_tokens: either(oneOf('inf'), within(1, 4096)),
    truncation: either(
      oneOf('auto', 'disabled'),
      variant({ retention_ratio: { retention_ratio: within(0, 1), token_limits: dictionary } }),
    ),
    reasoning: object({ effort: oneOf('none', 'minimal', 'low', 'medium', 'high', 'xhigh') }),
    audio: object({
      input: object({
        format,
        noise_reduction: nullable(variant({ near_field: {}, far_field: {} })),
        transcription: nullable(object({ model: text, language: text })),
        turn_detection: variant({
          server_vad: {
            ...turnTaking,
            threshold: within(0, 1),
            prefix_padding_ms: ms,
            silence_duration_ms: ms,
            idle_timeout_ms: nullable(ms),
          },
          semantic_vad: { ...turnTaking, eagerness: oneOf('low', 'medium', 'high', 'auto') },
        }),
      }),
      output: object({
        format,
        voice: either(object({ id: text }, ['id']), oneOf(...voices)),
        speed: within(0.25, 1.5),
      }),
    }),
  },
  ['type'],
);
