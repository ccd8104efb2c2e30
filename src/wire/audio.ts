// Audio is mu-law at 8 kHz mono in padded standard base64 both ways. It stays the text that came.

export const BYTES_PER_MS = 8;
export const SILENCE = 0xff;

/** Pattern for base64; check `isPadded`, too. */
export const BASE64 = '[A-Za-z0-9+/]*={0,2}';
// Without groups: they overflow the stack on some MiB.
const ALL_BASE64 = new RegExp(`^${BASE64}$`);

/** Whether text that matches BASE64 is padded. */
export function isPadded(base64: string): boolean {
  return base64.length % 4 === 0;
}

export function isAudio(value: unknown): value is string {
  return typeof value === 'string' && ALL_BASE64.test(value) && isPadded(value);
}

/** Returns the duration in ms, perhaps with a fraction. */
export function audioMs(audio: string): number {
  const padding = audio.endsWith('==') ? 2 : Number(audio.endsWith('='));
  return ((audio.length / 4) * 3 - padding) / BYTES_PER_MS;
}

export function silence(ms: number): string {
  return Buffer.alloc(ms * BYTES_PER_MS, SILENCE).toString('base64');
}
