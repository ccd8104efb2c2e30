import { BYTES_PER_MS, SILENCE } from '../../src/wire/audio.ts';
import { recording } from '../simulator/recording.ts';
import { writeWav } from '../simulator/wav.ts';

/** What the browser's microphone picks up in place of a visitor, and when, in ms after it was switched on. */
export interface Script {
  wav: Buffer;
  question: Said;
  interruption: Said;
}

export interface Said {
  audio: Uint8Array;
  ms: number;
}

/** The greeting is over by then. */
export const QUESTION_AT_MS = 4_500;
/** The parrot hears the question's end after 500 ms, thinks for another 500, and is talked over in what it answers. */
const PAUSE_MS = 2_300;
/** Longer than any call of the test. */
const REST_MS = 60_000;

/** A question, then an interruption of the answer, then silence. */
export function script(): Script {
  const question = recording('question');
  const interruption = recording('interruption');
  const all = [silence(QUESTION_AT_MS), question, silence(PAUSE_MS), interruption, silence(REST_MS)];
  return {
    // Chromium takes 16-bit PCM: a file in mu-law is heard as silence.
    wav: writeWav(Buffer.concat(all)),
    question: { audio: question, ms: question.length / BYTES_PER_MS },
    interruption: { audio: interruption, ms: interruption.length / BYTES_PER_MS },
  };
}

function silence(ms: number): Uint8Array {
  return new Uint8Array(ms * BYTES_PER_MS).fill(SILENCE);
}
