// G.711 mu-law, as telephones carry it: one byte a sample, 8,000 samples a second.

const BIAS = 0x84;
const CLIP = 32_635;

/** The 16-bit sample that a mu-law byte stands for. */
export function decodeMulaw(byte: number): number {
  const bits = ~byte & 0xff;
  const magnitude = ((((bits & 0x0f) << 3) + BIAS) << ((bits & 0x70) >> 4)) - BIAS;
  return bits & 0x80 ? -magnitude : magnitude;
}

/** The mu-law byte of a 16-bit sample, truncated as in G.711's reference code: not always the nearest. */
export function encodeMulaw(sample: number): number {
  const biased = Math.min(Math.abs(sample), CLIP) + BIAS;
  const exponent = 24 - Math.clz32(biased);
  const mantissa = (biased >> (exponent + 3)) & 0x0f;
  return ~((sample < 0 ? 0x80 : 0) | (exponent << 4) | mantissa) & 0xff;
}

export function decodeAudio(audio: Uint8Array): Int16Array {
  return Int16Array.from(audio, decodeMulaw);
}

export function encodeAudio(samples: Int16Array): Uint8Array {
  return Uint8Array.from(samples, encodeMulaw);
}

/** The root mean square of mu-law audio, 0 to 32,124. */
export function loudness(audio: Uint8Array): number {
  let sum = 0;
  for (const byte of audio) sum += decodeMulaw(byte) ** 2;
  return audio.length === 0 ? 0 : Math.sqrt(sum / audio.length);
}
