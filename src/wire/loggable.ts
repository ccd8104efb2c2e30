/** How much is logged of what a stranger chose, and of OpenAI's words, in characters. */
const MAX_STRANGERS_CHARACTERS = 200;
const MAX_OPENAI_CHARACTERS = 500;

/** `text` as it may be logged: one line that reads as it was sent, `max` characters of it at most. */
export function loggable(text: string, max = MAX_STRANGERS_CHARACTERS): string {
  // What controls a terminal, or turns the direction of what follows, is written out.
  const escaped = text
    .slice(0, max)
    .replace(/[\p{Cc}\p{Cf}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
  return escaped.length > max || text.length > max ? `${escaped.slice(0, max)}…` : escaped;
}

/** A key, or the part of one that OpenAI quotes; behind a letter only what is too long for a word, such as `task-based`. */
const ANY_KEY = /(?<![a-z])sk-[^\s'",]+|sk-[^\s'",]{16,}/gi;

/** OpenAI's words as they may be logged: without `key`, or any other of OpenAI's, which quotes a key that it refuses. */
export function withoutKey(text: string, key: string): string {
  // Redaction comes first: what is left of a key after a cut is no longer found.
  return loggable(text.trimEnd().replaceAll(key, '…').replace(ANY_KEY, 'sk-…'), MAX_OPENAI_CHARACTERS);
}
