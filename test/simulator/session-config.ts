import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { isObject, type JsonObject } from '../../src/wire/json.ts';
import { DEFAULT_VAD, type VoiceActivity } from './ear.ts';
import { type ApiError, arrayOf, findFault, object, type Shape, text, within } from './shape.ts';

/** A session's configuration, in its wire shape. */
export interface SessionConfig {
  instructions: string;
  tools: { name: string }[];
  audio: {
    input: { format: { type: string }; transcription: object | null; turn_detection: Partial<VoiceActivity> };
    output: { format: { type: string }; voice: string | { id: string } };
  };
}

/** A new id in OpenAI's form: the prefix and 21 letters or digits. */
export function newId(prefix: string): string {
  return `${prefix}_${randomBytes(11).toString('hex').slice(1)}`;
}

/** The configuration before any session.update, which has 24 kHz PCM. */
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
    instructions: '',
    tools: [],
    expires_at: Math.floor(Date.now() / 1000) + 3600,
    audio: {
      input: { format, transcription: null, noise_reduction: null, turn_detection },
      output: { format, voice: 'marin', speed: 1 },
    },
  };
  return session;
}

/** Returns `current` with an update applied, or what is wrong with the update. A voice that was heard stays. */
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

/** Merges objects, unless their types differ: an audio/pcmu keeps no rate of an audio/pcm. */
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

const format = [{ type: 'audio/pcm', rate: 24_000 }, { type: 'audio/pcmu' }];
const turnTaking = { create_response: true, interrupt_response: true };
const ms = within(0, 30_000);

/** The fields that this project sends: the real API takes others, too. */
const SESSION: Shape = {
  type: 'realtime',
  output_modalities: arrayOf('audio'),
  instructions: text,
  tools: arrayOf({ type: 'function', name: text, description: text, parameters: object }),
  tool_choice: ['auto', 'none', 'required', { type: 'function', name: text }],
  max_output_tokens: ['inf', within(1, 4096)],
  truncation: [
    'auto',
    'disabled',
    { type: 'retention_ratio', retention_ratio: within(0, 1), token_limits: object },
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
