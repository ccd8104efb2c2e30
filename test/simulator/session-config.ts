import { randomInt } from 'node:crypto';
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
  type: 'realtime';
  id: string;
  model: string;
  audio: {
    input: {
      format: { type: string };
      turn_detection: TurnDetection | null;
    };
    output: { format: { type: string }; voice: string | { id: string }; speed: number };
  };
}

type TurnDetection = Partial<VoiceActivity> & { create_response?: boolean; interrupt_response?: boolean };

const BASE62 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** A new id as OpenAI makes them: the prefix and 21 letters or digits. */
export function newId(prefix: string): string {
  return `${prefix}_${Array.from({ length: 21 }, () => BASE62.charAt(randomInt(62))).join('')}`;
}

/** The session that a client gets before it asks for another: 24 kHz PCM, and pauses that depend on the model. */
export function defaultSession(model: string): SessionConfig {
  const older = /^gpt-realtime(-mini)?(-20[\d-]+)?$/.test(model);
  const format = { type: 'audio/pcm', rate: 24_000 };
  const turn_detection = {
    type: 'server_vad',
    threshold: 0.5,
    prefix_padding_ms: 300,
    silence_duration_ms: older ? 200 : 500,
    idle_timeout_ms: null,
    create_response: true,
    interrupt_response: true,
  };
  const session = {
    type: 'realtime' as const,
    object: 'realtime.session',
    id: newId('sess'),
    model,
    output_modalities: ['audio'],
    instructions: 'Your knowledge cutoff is 2023-10. …',
    tools: [],
    tool_choice: 'auto',
    max_output_tokens: 'inf',
    tracing: null,
    truncation: 'auto',
    prompt: null,
    expires_at: Math.floor(Date.now() / 1000) + 3600,
    audio: {
      input: { format, transcription: null, noise_reduction: null, turn_detection },
      output: { format, voice: older ? 'alloy' : 'marin', speed: 1 },
    },
    include: null,
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
  if (hasSpoken && session.audio.output.voice !== current.audio.output.voice) {
    const message = "Cannot update a conversation's voice if assistant audio is present.";
    return { error: { code: 'cannot_update_voice', message } };
  }
  return session;
}

/** How a session finds turns, with what is left open filled in; undefined if it leaves that to the client. */
export function voiceActivity({ audio }: SessionConfig): VoiceActivity | undefined {
  const { turn_detection } = audio.input;
  if (turn_detection === null) return undefined;
  const { threshold = 0.5, prefix_padding_ms = 300, silence_duration_ms = 500 } = turn_detection;
  return { threshold, prefix_padding_ms, silence_duration_ms };
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
const anything: Check = () => undefined;
const text = is('a string', (value) => typeof value === 'string');
const flag = is('true or false', (value) => typeof value === 'boolean');
const array = is('an array', Array.isArray);
const dictionary = is('an object', isObject);
const either =
  (...checks: Check[]): Check =>
  (value, param) => {
    const errors = checks.map((check) => check(value, param));
    return errors.includes(undefined) ? undefined : errors.at(-1);
  };
const nullable = (check: Check) => either(oneOf(null), check);

const object =
  (shape: Record<string, Check>, required: string[] = []): Check =>
  (value, param) => {
    if (!isObject(value)) return dictionary(value, param);
    const missing = required.find((key) => !(key in value));
    if (missing !== undefined) {
      const path = `${param}.${missing}`;
      return {
        code: 'missing_required_parameter',
        message: `Missing required parameter: '${path}'.`,
        param: path,
      };
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
    const known = oneOf(...Object.keys(shapes));
    return object({ type: known, ...shapes[type] }, ['type'])(value, param);
  };

const format = variant({ 'audio/pcm': { rate: oneOf(24_000) }, 'audio/pcmu': {}, 'audio/pcma': {} });
const turnTaking = { create_response: flag, interrupt_response: flag };
const ms = within(0, 30_000);
const modalities = is('["audio"] or ["text"]', (value) =>
  ['["audio"]', '["text"]'].includes(JSON.stringify(value)),
);
const voice = either(
  object({ id: text }, ['id']),
  oneOf('alloy', 'ash', 'ballad', 'coral', 'echo', 'sage', 'shimmer', 'verse', 'marin', 'cedar'),
);
const generation = {
  output_modalities: modalities,
  instructions: text,
  max_output_tokens: either(oneOf('inf'), within(1, 4096)),
  tools: array,
  tool_choice: either(dictionary, text),
  prompt: nullable(dictionary),
  reasoning: object({ effort: oneOf('none', 'minimal', 'low', 'medium', 'high', 'xhigh') }),
};

const checkSession = object(
  {
    ...generation,
    type: oneOf('realtime'),
    audio: object({
      input: object({
        format,
        transcription: nullable(object({ model: text, language: text, prompt: text, delay: text })),
        noise_reduction: nullable(object({ type: oneOf('near_field', 'far_field'), strength: anything })),
        turn_detection: nullable(
          variant({
            server_vad: {
              ...turnTaking,
              threshold: within(0, 1),
              prefix_padding_ms: ms,
              silence_duration_ms: ms,
              idle_timeout_ms: nullable(ms),
            },
            semantic_vad: { ...turnTaking, eagerness: oneOf('low', 'medium', 'high', 'auto') },
          }),
        ),
      }),
      output: object({ format, voice, speed: within(0.25, 1.5) }),
    }),
    include: nullable(array),
    tracing: nullable(either(oneOf('auto'), dictionary)),
    truncation: either(oneOf('auto', 'disabled'), dictionary),
  },
  ['type'],
);

/** What is wrong with the `response` of a response.create, if anything. */
export const checkResponse: Check = object({
  ...generation,
  conversation: oneOf('auto', 'none'),
  metadata: nullable(dictionary),
  input: array,
  audio: object({ output: object({ format, voice }) }),
});
