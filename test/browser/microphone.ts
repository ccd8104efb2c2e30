import { BYTES_PER_MS, SILENCE } from '../../src/wire/audio.ts';
import { recording } from '../simulator/recording.ts';
import { writeWav } from '../simulator/wav.ts';

export const QUESTION = recording('question');
export const INTERRUPTION = recording('interruption');
/** When the question begins, in ms: the greeting is over by then. */
export const QUESTION_AT_MS = 4_500;
/** The parrot hears the question's end after 500 ms, thinks for another 500, and is interrupted in its answer. */
const PAUSE_MS = 2_300;
/** Longer than any call of the test. */
const REST_MS = 60_000;

/** Returns what the browser's microphone hears: a question, an interruption of the answer, and silence. */
export function script(): Buffer {
  // Chromium takes 16-bit PCM: a file in mu-law is heard as silence.
  return writeWav(
    Buffer.concat([silence(QUESTION_AT_MS), QUESTION, silence(PAUSE_MS), INTERRUPTION, silence(REST_MS)]),
  );
}

function silence(ms: number): Uint8Array {
  return new Uint8Array(ms * BYTES_PER_MS).fill(SILENCE);
}
