import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { messageOf } from './command-line.ts';
import { Ear } from './ear.ts';
import { loudness } from './mulaw.ts';
import { readWav, WavError } from './wav.ts';

/** The names of codings without a header in sox and ffmpeg, by extension. */
const HEADERLESS: Record<string, [sox: string, ffmpeg: string]> = {
  ...{ '.ulaw': ['ul', 'mulaw'], '.ul': ['ul', 'mulaw'], '.raw': ['ul', 'mulaw'] },
  ...{ '.alaw': ['al', 'alaw'], '.al': ['al', 'alaw'], '.pcm': ['s16', 's16le'] },
};
const FRAME_BYTES = 160;
const FULL_SCALE = 32_768;

/** The reason that a recording can't be used, with the commands that convert it. */
export class SpeechError extends Error {
  override name = 'SpeechError';
}

/** Reads a caller's words from a WAV file. Throws a SpeechError. */
export async function readSpeech(file: string): Promise<ReturnType<typeof readWav>> {
  const content = await readFile(file).catch((error: unknown) => {
    throw new SpeechError(`${file} can't be read: ${messageOf(error)}`);
  });
  try {
    const speech = readWav(content);
    requireSpeech(speech.audio);
    return speech;
  } catch (error) {
    if (!(error instanceof WavError)) throw error;
    const { message, convert } = error;
    throw new SpeechError(
      `${file} ${message}.${convert === 'no' ? '' : `\n\n${howToConvert(file, convert)}`}`,
    );
  }
}

/** Throws a WavError unless the parrot would detect a turn in `audio`. */
function requireSpeech(audio: Uint8Array): void {
  if (new Ear().hear(audio).length > 0) return;
  let loudest = 0;
  for (let at = 0; at < audio.length; at += FRAME_BYTES) {
    loudest = Math.max(loudest, loudness(audio.subarray(at, at + FRAME_BYTES)));
  }
  const level = loudest === 0 ? 'silent' : `at ${(20 * Math.log10(loudest / FULL_SCALE)).toFixed()} dBFS`;
  throw new WavError(
    `has no speech in it: that takes 60 ms at -36 dBFS or more, and its loudest 20 ms are ${level}`,
  );
}

/** The commands that convert `file`, to a name that doesn't exist. */
function howToConvert(file: string, convert: WavError['convert']): string {
  const [sox, ffmpeg] = HEADERLESS[extname(file).toLowerCase()] ?? [];
  const soxInput =
    sox === undefined ? (convert === 'yes' ? '' : '--ignore-length ') : `-t ${sox} -r 8000 -c 1 `;
  const ffmpegInput = ffmpeg === undefined ? '' : `-f ${ffmpeg} -ar 8000 -ac 1 `;
  let output = 'speech.wav';
  for (let n = 2; existsSync(output); n += 1) output = `speech-${n}.wav`;
  const name = quoted(file);
  return `${sox === undefined ? 'Convert it' : 'If it is audio at 8,000 Hz without a header, convert it'}
  with  sox ${soxInput}${name} -r 8000 -c 1 -b 16 ${output}
  or    ffmpeg ${ffmpegInput}-i ${name} -ar 8000 -ac 1 -c:a pcm_s16le ${output}`;
}

/** A file's name, quoted for a POSIX shell; no program takes it for an option, a pipe or an address. */
function quoted(file: string): string {
  const path = /^[\w./][^:]*$/.test(file) ? file : `./${file}`;
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
