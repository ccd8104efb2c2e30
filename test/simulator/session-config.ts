import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { isObject, type JsonObject } from '../../src/wire/json.ts';
import { DEFAULT_VAD, type VoiceActivity } from './ear.ts';

/** What is wrong with a message, as the Realtime API words it; `param` is a dotted path. */
export interface ApiError {
  code: string;
  message: string;
  param?: string | null;
}

/** A session in effect, in its wire shape. */
export interface SessionConfig {
  audio: {
    input: { format: { type: string }; turn_detection: Partial<VoiceActivity> };
    output: { format: { type: string }; voice: string | { id: string } };
  };
}

/** A new id as OpenAI makes them: the prefix and 21 letters or digits. */
export function newId(prefix: string): string {
  return `${prefix}_${randomBytes(11).toString('hex').slice(1)}`;
}

/** The session that a client gets before it asks for another, which is one for 24 kHz PCM. */
export function defaultSession(model: string): SessionConfig {
  const format = { type: 'audio/pcm', rate: 24_000 };
  const turn_detection = {
    type: 'server_vad',
    ...DEFAULT_VAD,
    create_response: true,
    interrupt_response: true,
  };
  const session = {
    type: 'realtime',
    object: 'realtime.session',
    id: newId('sess'),
    model,
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
  const error = findFault(SESSION, update, 'session');
  if (error !== undefined) return { error };
  const session = merge(current, isObject(update) ? update : {});
  if (hasSpoken && !isDeepStrictEqual(session.audio.output.voice, current.audio.output.voice)) {
    const message = "Cannot update a conversation's voice if assistant audio is present.";
    return { error: { code: 'cannot_update_voice', message } };
  }
  return session;
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

/** What a value may be: that very value, whatever passes, one of several, or an object of these, whose type is required. */
type Shape =
  | string
  | number
  | boolean
  | null
  | ((value: unknown) => boolean)
  | Shape[]
  | { [key: string]: Shape };

const text = (value: unknown) => typeof value === 'string';
const within = (min: number, max: number) => (value: unknown) =>
  typeof value === 'number' && value >= min && value <= max;
const arrayOf = (shape: Shape) => (value: unknown) =>
  Array.isArray(value) && value.every((element) => findFault(shape, element, '') === undefined);

const format = [{ type: 'audio/pcm', rate: 24_000 }, { type: 'audio/pcmu' }];
const turnTaking = { create_response: true, interrupt_response: true };
const ms = within(0, 30_000);

/** What this project sends, and no more: the real API takes other fields, too. */
const SESSION: Shape = {
  type: 'realtime',
  output_modalities: arrayOf('audio'),
  instructions: text,
  tools: arrayOf({ type: 'function', name: text, description: text, parameters: isObject }),
  tool_choice: ['auto', 'none', 'required', { type: 'function', name: text }],
  max_output_tokens: ['inf', within(1, 4096)],
  truncation: [
    'auto',
    'disabled',
    { type: 'retention_ratio', retention_ratio: within(0, 1), token_limits: isObject },
  ],
  reasoning: { effort: ['none', 'minimal', 'low', 'medium', 'high', 'xhigh'] },
  audio: {
    input: {
      format,
      noise_reduction: [{ type: ['near_field', 'far_field'] }, null],
      transcription: [{ model: text, language: text }, null],
      turn_detection: [
        {
          ...{ type: 'server_vad', ...turnTaking, threshold: within(0, 1), prefix_padding_ms: ms },
          ...{ silence_duration_ms: ms, idle_timeout_ms: [ms, null] },
        },
        { type: 'semantic_vad', ...turnTaking, eagerness: ['low', 'medium', 'high', 'auto'] },
      ],
    },
    output: {
      format,
      voice: [
        ...['alloy', 'ash', 'ballad', 'cedar', 'coral', 'echo', 'marin', 'sage', 'shimmer', 'verse'],
        { id: text },
      ],
      speed: within(0.25, 1.5),
    },
  },
};

function findFault(shape: Shape, value: unknown, param: string): ApiError | undefined {
  const invalid = { code: 'invalid_value', message: `Invalid value: '${param}'.`, param };
  if (typeof shape === 'function') return shape(value) ? undefined : invalid;
  if (Array.isArray(shape)) {
    const faults = shape.map((alternative) => findFault(alternative, value, param));
    if (faults.includes(undefined)) return undefined;
    // What was meant is the alternative of the same type.
    return faults.find((fault) => fault?.param !== `${param}.type`) ?? faults[0];
  }
  if (shape === null || typeof shape !== 'object') return value === shape ? undefined : invalid;
  if (!isObject(value)) return invalid;
  if ('type' in shape && !('type' in value)) {
    const message = `Missing required parameter: '${param}.type'.`;
    return { code: 'missing_required_parameter', message, param: `${param}.type` };
  }
  for (const [key, field] of Object.entries(value)) {
    const path = `${param}.${key}`;
    const inner = Object.hasOwn(shape, key) ? shape[key] : undefined;
    if (inner === undefined) {
      return { code: 'unknown_parameter', message: `Unknown parameter: '${path}'.`, param: path };
    }
    const fault = findFault(inner, field, path);
    if (fault !== undefined) return fault;
  }
  return undefined;
}
