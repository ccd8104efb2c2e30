/** Audio both ways is mu-law at 8 kHz mono: 8 bytes a millisecond. */
export const BYTES_PER_MS = 8;
/** The byte for silence. */
export const SILENCE = 0xff;

/**
 * Audio in padded standard base64, the only form in which either vendor sends it: the bytes of `data` from `start`
 * to `end`.
 *
 * It stays in the message that brought it, which is nobody else's from then on: a caller's frame is passed on in it.
 */
export interface Audio {
  data: Buffer;
  start: number;
  end: number;
}

/** What a pattern finds base64 with; `audioAt` then looks whether it is padded. */
export const BASE64 = '[A-Za-z0-9+/]*={0,2}';
// Simple enough to need no stack: a pattern of groups overflows it on some MiB.
const ALL_BASE64 = new RegExp(`^${BASE64}$`);
const PADDING = '='.charCodeAt(0);

/** The audio that is all of `value`; undefined for anything but a string of padded base64. */
export function parseAudio(value: unknown): Audio | undefined {
  if (typeof value !== 'string' || !ALL_BASE64.test(value)) return undefined;
  return audioAt(Buffer.from(value), 0, value);
}

/** The audio that is `base64`, found in `data` at `start`; undefined if it isn't padded. */
export function audioAt(data: Buffer, start: number, base64: string): Audio | undefined {
  return base64.length % 4 === 0 ? { data, start, end: start + base64.length } : undefined;
}

export function toBase64({ data, start, end }: Audio): string {
  return data.toString('latin1', start, end);
}

/** Its samples, in mu-law. */
export function decode(audio: Audio): Buffer {
  return Buffer.from(toBase64(audio), 'base64');
}

/** How long it lasts, in ms; a fraction where the bytes don't fill a millisecond. */
export function audioMs({ data, start, end }: Audio): number {
  const padding = Number(data[end - 1] === PADDING) + Number(data[end - 2] === PADDING);
  return (((end - start) / 4) * 3 - padding) / BYTES_PER_MS;
}

/** `ms` of silence. */
export function silence(ms: number): Audio {
  const data = Buffer.from(Buffer.alloc(ms * BYTES_PER_MS, SILENCE).toString('base64'));
  return { data, start: 0, end: data.length };
}

/**
 * A message of `head`, `audio` and `tail`: put around the audio where it lies if there is room, else copied.
 *
 * What was around the audio is overwritten, be it an earlier message around the same audio.
 */
export function wrap(head: Buffer, { data, start, end }: Audio, tail: Buffer): Buffer {
  const from = start - head.length;
  const to = end + tail.length;
  if (from < 0 || to > data.length) return Buffer.concat([head, data.subarray(start, end), tail]);
  data.set(head, from);
  data.set(tail, end);
  return data.subarray(from, to);
}
