/** How much of what others say is logged, in characters. */
const MAX_CHARACTERS = 500;

/** `text` as it may be logged: without `key`, or any other of OpenAI's, which quotes a key that it refuses. */
export function withoutKey(text: string, key: string): string {
  return text
    .replaceAll(key, '…')
    .replace(/sk-[^\s'",]+/g, 'sk-…')
    .slice(0, MAX_CHARACTERS);
}
