import type { Assistant, Override } from '../contract.ts';
import { asObject, isObject } from '../wire/json.ts';
import { isWellFormed } from '../wire/twiml.ts';

/** Returns what is wrong with a value, in words: nothing, or one text for each mistake. */
type Check = (value: unknown) => string[];

function rule(isGood: (value: unknown) => boolean, mistake: string): Check {
  return (value) => (isGood(value) ? [] : [mistake]);
}

function optional(check: Check): Check {
  return (value) => (value === undefined ? [] : check(value));
}

const text = rule((value) => typeof value === 'string', 'must be a string');
const code = rule((value) => typeof value === 'function', 'must be a function');
const oneOf = (...texts: unknown[]) =>
  rule((value) => texts.includes(value), `must be one of ${texts.join(', ')}`);
const words = rule((value) => typeof value === 'string' && value !== '', 'must be a string, and not empty');
const isWithin = (n: unknown, least: number, most: number) =>
  typeof n === 'number' && n >= least && n <= most;
const number = (least: number, most: number) =>
  rule((n) => isWithin(n, least, most), `must be from ${least} to ${most}`);
const whole = (least: number, most: number) =>
  rule(
    (n) => Number.isInteger(n) && isWithin(n, least, most),
    `must be a whole number from ${least} to ${most}`,
  );

/** Unknown properties that are named one by one. */
const MAX_NAMED = 5;

/** An object with these properties and no others. */
function shape(checks: Record<string, Check>): Check {
  return (value) => {
    if (!isObject(value)) return ['must be an object'];
    const unknown = Object.keys(value).filter((name) => !Object.hasOwn(checks, name));
    const known = Object.entries(checks).flatMap(([name, check]) =>
      check(value[name]).map((each) => `${name}: ${each}`),
    );
    const named = unknown.filter((name) => /^[a-z]\w{0,40}$/i.test(name)).slice(0, MAX_NAMED);
    const others = unknown.length - named.length;
    return [
      ...known,
      ...named.map((name) => `${name}: there is no such setting`),
      // Not by name: it is some other object, perhaps a list of customers.
      ...(others > 0 ? [`${others} others are no settings`] : []),
    ];
  };
}

const SERVER_VAD = shape({
  type: oneOf('server_vad', 'semantic_vad'),
  threshold: number(0, 1),
  prefix_padding_ms: whole(0, 60_000),
  silence_duration_ms: whole(0, 60_000),
  idle_timeout_ms: optional(whole(0, 60_000)),
});
const SEMANTIC_VAD = shape({ type: text, eagerness: oneOf('low', 'medium', 'high', 'auto') });
const VOICES = ['alloy', 'ash', 'ballad', 'cedar', 'coral', 'echo', 'marin', 'sage', 'shimmer', 'verse'];
const CUSTOM_VOICE = shape({ id: words });
const TOOL = shape({
  name: rule(
    (name) => typeof name === 'string' && /^[\w-]{1,64}$/.test(name),
    'must be 1 to 64 of A-Z, a-z, 0-9, _ and -',
  ),
  description: text,
  parameters: optional((value) =>
    !isJson(value)
      ? ['must be JSON: convert the schema with z.toJSONSchema(it), toJsonSchema(it) or it.toJsonSchema()']
      : oneOf('object')(asObject(value).type).map((mistake) => `type: ${mistake}`),
  ),
  timeoutMs: optional(number(1, 14_400_000)),
  run: code,
});

const SETTINGS: { [Name in keyof Required<Assistant & Override>]: Check } = {
  instructions: text,
  voice: (value) => (isObject(value) ? CUSTOM_VOICE : oneOf(...VOICES))(value),
  greeting: text,
  apology: text,
  timeIsUp: text,
  nobodyAnswered: text,
  say: optional(shape({ language: text, voice: optional(text) })),
  turnDetection: (value) => (asObject(value).type === 'semantic_vad' ? SEMANTIC_VAD : SERVER_VAD)(value),
  tools: optional((value) => {
    if (!Array.isArray(value)) return ['must be a list'];
    const names = value.map((tool) => String(asObject(tool).name));
    const twins = names.filter((name, n) => names.indexOf(name) < n).map((name) => `${name}: is there twice`);
    return [...value.flatMap((tool, n) => TOOL(tool).map((mistake) => `${names[n]}: ${mistake}`)), ...twins];
  }),
  transcription: optional(shape({ model: words, language: optional(text) })),
  twiml: optional((value) => {
    const isDocument = /^\s*<(\?xml|Response\b)/.test(String(value));
    if (isDocument) return ['takes verbs only, without <?xml…?> and <Response>'];
    if (/^\s*[^<\s]/.test(String(value))) return ['takes verbs: make one of a text with say()'];
    if (typeof value === 'string' && isWellFormed(value)) return [];
    return ['must be well-formed: close each element, and write & as &amp;'];
  }),
  noiseReduction: optional(oneOf('near_field', 'far_field')),
  speed: optional(number(0.25, 1.5)),
  maxOutputTokens: optional(whole(1, 4_096)),
  reasoningEffort: optional(oneOf('minimal', 'low', 'medium', 'high', 'xhigh')),
  retentionRatio: optional(number(0, 1)),
  about: optional(text),
  answer: optional(code),
  ended: optional(code),
};

/** What is wrong with an assistant: a text for each mistake, which begins with the setting's name. */
export const mistakesOf: Check = shape(SETTINGS);

/** Whether a value is what `JSON.parse` could have returned: no library's object, which has functions. */
function isJson(value: unknown, depth = 0): boolean {
  if (typeof value !== 'object' || value === null)
    return !['function', 'symbol', 'bigint'].includes(typeof value);
  const isPlain = Array.isArray(value) || [Object.prototype, null].includes(Object.getPrototypeOf(value));
  return isPlain && depth < 100 && Object.values(value).every((each) => isJson(each, depth + 1));
}
