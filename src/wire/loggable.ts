/** Limits for strangers' words, and for OpenAI's, in characters. */
const MAX_STRANGERS_CHARACTERS = 200;
const MAX_OPENAI_CHARACTERS = 500;

/** Returns `text` in one line, as it was sent, cut after `max` characters. */
export function loggable(text: string, max = MAX_STRANGERS_CHARACTERS): string {
  // Escapes what controls a terminal or turns the direction of writing.
  const escaped = text
    .slice(0, max)
    .replace(/[\p{Cc}\p{Cf}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
  return escaped.length > max || text.length > max ? `${escaped.slice(0, max)}…` : escaped;
}

/** A key, or the part of one that OpenAI quotes. After a letter it must be too long for a word such as `task-based`. */
const ANY_KEY = /(?<![a-z])sk-[^\s'",]+|sk-[^\s'",]{16,}/gi;

/** Returns OpenAI's words, fit to be logged: without `key` and other keys, as OpenAI quotes a key that it rejects. */
export function withoutKey(text: string, key: string): string {
  // Redact before the cut: the rest of a key isn't found.
  return loggable(text.trimEnd().replaceAll(key, '…').replace(ANY_KEY, 'sk-…'), MAX_OPENAI_CHARACTERS);
}

/** Returns the error's message; an AggregateError has none but those of its parts. */
export function errorText(error: Error): string {
  return error instanceof AggregateError ? error.errors.map(errorText).join('; ') : error.message;
}
