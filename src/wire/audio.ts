// Audio both ways is mu-law at 8 kHz mono, 8 bytes a millisecond, in padded standard base64: the only form in which
// either vendor sends it. It stays the text that came.

export const BYTES_PER_MS = 8;
/** The byte for silence. */
export const SILENCE = 0xff;

/** What a pattern finds base64 with; `isPadded` then tells whether it is whole. */
export const BASE64 = '[A-Za-z0-9+/]*={0,2}';
// Simple enough to need no stack: a pattern of groups overflows it on some MiB.
const ALL_BASE64 = new RegExp(`^${BASE64}$`);

/** Whether `base64`, which a pattern found, is padded. */
export function isPadded(base64: string): boolean {
  return base64.length % 4 === 0;
}

export function isAudio(value: unknown): value is string {
  return typeof value === 'string' && ALL_BASE64.test(value) && isPadded(value);
}

/** How long it lasts, in ms; a fraction where the bytes don't fill a millisecond. */
export function audioMs(audio: string): number {
  const padding = audio.endsWith('==') ? 2 : Number(audio.endsWith('='));
  return ((audio.length / 4) * 3 - padding) / BYTES_PER_MS;
}

/** `ms` of silence. */
export function silence(ms: number): string {
  return Buffer.alloc(ms * BYTES_PER_MS, SILENCE).toString('base64');
}
