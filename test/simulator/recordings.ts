// npm run test:recordings: has other programs make recordings, and reads them as npm run call does.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { recording } from './recording.ts';
import { readSpeech, SpeechError } from './speech.ts';
import { writeWav } from './wav.ts';

type Outcome = 'read' | 'read, with a warning' | 'read once converted' | 'refused: no speech';
/** A recording: its kind, the command that makes "$out" of "$in" (8 kHz mono 16-bit PCM), and what becomes of it. */
type Row = [kind: string, command: string, outcome?: Outcome, extension?: string];

const CONVERTED = 'read once converted';
const WARNED = 'read, with a warning';
const SILENT = 'refused: no speech';
const GST = 'gst-launch-1.0 -q filesrc location="$in" ! wavparse !';
const HEADERLESS = '-f s16le -ar 8000 -ac 1';
const ALSA = 'pcm.in { type file slave.pcm null file /dev/null infile q.raw format raw }';
const TEXT = '"How late are you open on Friday, please?"';
/** How much longer or shorter than the question a recording may be, in bytes: MP3 comes in frames. */
const TOLERANCE_BYTES = 2_400;
/** Those that speak for themselves, of whatever length. */
const SPEAKERS = ['espeak-ng', 'flite', 'text2wave'];

/** By program. */
const ROWS: Record<string, Row[]> = {
  sox: [
    ['PCM', 'sox "$in" "$out"'],
    ['mu-law', 'sox "$in" -e mu-law "$out"'],
    ['into a pipe', 'sox "$in" -t wav - | cat > "$out"'],
    ['killed', '(cat "$in"; sleep 3) | timeout -s KILL 2 sox -t wav - "$out"'],
    ['44.1 kHz, stereo', 'sox "$in" -r 44100 -c 2 "$out"', CONVERTED],
    ['24 bit', 'sox "$in" -b 24 "$out"', CONVERTED],
    ['float', 'sox "$in" -e float "$out"', CONVERTED],
    ['A-law', 'sox "$in" -e a-law "$out"', CONVERTED],
    ['GSM', 'sox "$in" -e gsm-full-rate "$out"', CONVERTED],
    ['ADPCM', 'sox "$in" -e ima-adpcm "$out"', CONVERTED],
    ['mu-law without a header', 'sox "$in" -t ul "$out"', CONVERTED, 'ulaw'],
    ['mu-law without a header', 'sox "$in" -t ul "$out"', CONVERTED, 'ul'],
    ['mu-law without a header', 'sox "$in" -t ul "$out"', CONVERTED, 'raw'],
    ['A-law without a header', 'sox "$in" -t al "$out"', CONVERTED, 'alaw'],
    ['PCM without a header', 'sox "$in" -t s16 "$out"', CONVERTED, 'pcm'],
    ...['aiff', 'au', 'flac', 'w64', 'caf'].map((type): Row => [type, 'sox "$in" "$out"', CONVERTED, type]),
    ['at -44 dBFS', 'sox "$in" "$out" norm -44', SILENT],
    ['of 40 ms', 'sox "$in" "$out" trim 1 0.04', SILENT],
    ['silence', 'sox "$in" "$out" vol 0', SILENT],
  ],
  ffmpeg: [
    ['PCM', 'ffmpeg -i "$in" "$out"'],
    ['mu-law', 'ffmpeg -i "$in" -c:a pcm_mulaw "$out"'],
    ['JUNK before fmt', 'ffmpeg -i "$in" -rf64 auto "$out"'],
    ['bext before fmt', 'ffmpeg -i "$in" -write_bext 1 "$out"'],
    ['levl after data', 'ffmpeg -i "$in" -write_peak on "$out"'],
    ['into a pipe', 'ffmpeg -i "$in" -f wav - | cat > "$out"'],
    ['mu-law into a file as a pipe', 'ffmpeg -i "$in" -c:a pcm_mulaw -f wav - > "$out"'],
    ['killed', `(cat "$in"; sleep 4) | timeout -s KILL 3 ffmpeg ${HEADERLESS} -i - -flush_packets 1 "$out"`],
    ['44.1 kHz into a pipe', 'ffmpeg -i "$in" -ar 44100 -f wav - | cat > "$out"', CONVERTED],
    ['24 bit', 'ffmpeg -i "$in" -c:a pcm_s24le "$out"', CONVERTED],
    ['RF64', 'ffmpeg -i "$in" -rf64 always "$out"', CONVERTED],
    ...['mp3', 'opus', 'm4a', 'webm'].map((type): Row => [type, 'ffmpeg -i "$in" "$out"', CONVERTED, type]),
  ],
  'sndfile-convert': [
    ['PCM', 'sndfile-convert -pcm16 "$in" "$out"'],
    ['mu-law', 'sndfile-convert -ulaw "$in" "$out"'],
    ['extensible PCM', 'sndfile-convert -pcm16 "$in" x.wavex && mv x.wavex "$out"'],
    ['extensible mu-law', 'sndfile-convert -ulaw "$in" x.wavex && mv x.wavex "$out"'],
  ],
  'gst-launch-1.0': [
    ['PCM', `${GST} wavenc ! filesink location="$out"`],
    ['mu-law, LIST after data', `${GST} audioconvert ! mulawenc ! wavenc ! filesink location="$out"`],
    ['into a pipe', `${GST} wavenc ! fdsink | cat > "$out"`],
  ],
  'espeak-ng': [
    ['22,050 Hz', `espeak-ng -w "$out" ${TEXT}`, CONVERTED],
    ['22,050 Hz into a pipe', `espeak-ng --stdout ${TEXT} > "$out"`, CONVERTED],
  ],
  flite: [['8 kHz', `flite -t ${TEXT} -o "$out"`]],
  text2wave: [
    ['8 kHz', `echo ${TEXT} | text2wave -F 8000 -o "$out"`],
    ['8 kHz into a pipe', `echo ${TEXT} | text2wave -F 8000 | cat > "$out"`],
    ['16 kHz into a pipe', `echo ${TEXT} | text2wave | cat > "$out"`, CONVERTED],
  ],
  lame: [
    ['mp3', 'lame --quiet "$in" "$out"', CONVERTED, 'mp3'],
    ['decoded into a pipe', 'lame --quiet "$in" x.mp3; lame --quiet --decode x.mp3 - | cat > "$out"'],
  ],
  mpg123: [
    ['to a file', 'lame --quiet "$in" x.mp3; mpg123 -q -w "$out" x.mp3'],
    ['into a pipe', 'lame --quiet "$in" x.mp3; mpg123 -q -w - x.mp3 | cat > "$out"'],
  ],
  opusdec: [
    ['into a pipe', 'opusenc --quiet "$in" x.opus; opusdec --quiet --force-wav x.opus - | cat > "$out"'],
  ],
  arecord: [
    [
      'stopped by its pipe',
      `sox "$in" -t s16 q.raw; echo '${ALSA}' > .asoundrc
      HOME=. arecord -q -D in -r 8000 -f S16_LE - | head -c 51800 > "$out"`,
    ],
  ],
  python3: [
    ['wave', python('w.writeframes(r.readframes(r.getnframes()))')],
    [
      'wave, killed',
      python('[w.writeframesraw(r.readframes(160)) for _ in range(200)]; w._file.flush(); os._exit(9)'),
      WARNED,
    ],
  ],
};

const bash = (command: string) => promisify(execFile)('bash', ['-c', command]);
const words = recording('question');
const home = await mkdtemp(join(tmpdir(), 'voice-relay-'));
process.chdir(home);
await writeFile('in.wav', writeWav(words));
let faults = 0;
for (const [program, rows] of Object.entries(ROWS)) {
  const version = await versionOf(program);
  if (version === undefined) console.log(`${program} is not installed: left out`);
  for (const [kind, command, expected = 'read', extension = 'wav'] of version === undefined ? [] : rows) {
    const out = `out.${extension}`;
    // A program that is killed, or that only warns, has made its recording.
    await bash(`in=in.wav out=${out}; ${command}`).catch(() => {});
    const outcome = await read(out, SPEAKERS.includes(program)).catch((error: unknown) => String(error));
    await rm(out, { force: true });
    if (outcome !== expected) faults += 1;
    const wrong = outcome === expected ? '' : `, NOT ${expected}`;
    console.log(
      `${`${program} ${version}`.padEnd(32)} ${`${extension}, ${kind}`.padEnd(34)} ${outcome}${wrong}`,
    );
  }
}
await rm(home, { recursive: true });
process.exitCode = faults === 0 ? 0 : 1;

/** Reads a recording, if need be once it is converted by each of the commands that are printed. */
async function read(file: string, isOther: boolean): Promise<Outcome> {
  try {
    const { audio, warning } = await readSpeech(file);
    const difference = Math.abs(audio.length - words.length);
    if (!isOther && difference > TOLERANCE_BYTES)
      throw new Error(`its length is off by ${difference / 8} ms`);
    return warning === undefined ? 'read' : WARNED;
  } catch (error) {
    if (!(error instanceof SpeechError)) throw error;
    if (error.message.includes('no speech')) return SILENT;
    let outcome: Outcome | undefined;
    for (const command of error.message.match(/(?:sox|ffmpeg) .*$/gm) ?? []) {
      const isMade = await bash(command).then(
        () => true,
        // Not every program reads opus.
        () => false,
      );
      if (isMade && (await read('speech.wav', isOther)) === 'read') outcome = CONVERTED;
      await rm('speech.wav', { force: true });
    }
    if (outcome === undefined) throw error;
    return outcome;
  }
}

/** The version of a program; undefined if it isn't installed. */
async function versionOf(program: string): Promise<string | undefined> {
  const ofPackage = `dpkg-query -W -f '\${Version}' "$(dpkg -S "$(command -v ${program})" | cut -d: -f1)"`;
  const found = await bash(`command -v ${program} && (${ofPackage} || ${program} --version)`).catch(
    () => undefined,
  );
  return found?.stdout.trim().split('\n').at(-1);
}

/** The command that runs Python's wave module on a reader `r` and a writer `w`. */
function python(code: string): string {
  const open = `r = wave.open('$in'); w = wave.open('$out', 'wb'); w.setparams((1, 2, 8000, 0, 'NONE', ''))`;
  return `python3 -c "import os, wave; ${open}; ${code}"`;
}
