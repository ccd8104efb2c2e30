import { readFileSync } from 'node:fs';
import { readWav } from './wav.ts';

/** One of the recordings in test/fixtures, in mu-law. */
export function recording(name: 'greeting' | 'question' | 'interruption'): Uint8Array {
  return readWav(readFileSync(new URL(`../fixtures/${name}.wav`, import.meta.url))).audio;
}
