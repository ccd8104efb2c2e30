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

const TEXT = '"How late are you open on Friday, please?"';
const GST = 'gst-launch-1.0 -q filesrc location=in.wav ! wavparse !';
const ALSA = 'pcm.in { type file slave.pcm null file /dev/null infile in.raw format raw }';
/** The most that a recording's length may differ from the question's, in bytes: MP3 pads. */
const TOLERANCE_BYTES = 2_400;
/** Programs whose recordings have a length of their own. */
const SPEAKERS = ['espeak-ng', 'flite', 'text2wave'];

/** By program and outcome, the commands that make `out` from `in.wav`, which is 8 kHz mono 16-bit PCM. */
const COMMANDS: Record<string, Partial<Record<Outcome, string[]>>> = {
  sox: {
    read: [
      ...['', ' -e mu-law'].map((options) => `sox in.wav${options} out.wav`),
      'sox in.wav -t wav - | cat > out.wav',
      '(tail -c +45 in.wav; sleep 3) | timeout -s KILL 2 sox -t s16 -r 8000 -c 1 - out.wav',
    ],
    'read once converted': [
      ...['-r 44100 -c 2', '-b 24', '-e float', '-e a-law', '-e gsm', '-e ima-adpcm'].map(
        (options) => `sox in.wav ${options} out.wav`,
      ),
      ...['ulaw', 'ul', 'raw'].map((type) => `sox in.wav -t ul out.${type}`),
      'sox in.wav -t al out.alaw',
      'sox in.wav -t s16 out.pcm',
      ...['aiff', 'au', 'flac', 'w64', 'caf'].map((type) => `sox in.wav out.${type}`),
    ],
    'refused: no speech': ['norm -44', 'trim 1 0.04', 'vol 0'].map(
      (effect) => `sox in.wav out.wav ${effect}`,
    ),
  },
  ffmpeg: {
    read: [
      ...['', ' -c:a pcm_mulaw', ' -rf64 auto', ' -write_bext 1', ' -write_peak on'].map(
        (options) => `ffmpeg -i in.wav${options} out.wav`,
      ),
      'ffmpeg -i in.wav -f wav - | cat > out.wav',
      'ffmpeg -i in.wav -c:a pcm_mulaw -f wav - > out.wav',
      '(tail -c +45 in.wav; sleep 4) | timeout -s KILL 3 ffmpeg -f s16le -ar 8000 -i - -flush_packets 1 out.wav',
    ],
    'read once converted': [
      'ffmpeg -i in.wav -ar 44100 -f wav - | cat > out.wav',
      ...['-c:a pcm_s24le', '-rf64 always'].map((options) => `ffmpeg -i in.wav ${options} out.wav`),
      ...['mp3', 'opus', 'm4a', 'webm'].map((type) => `ffmpeg -i in.wav out.${type}`),
    ],
  },
  'sndfile-convert': {
    read: [
      ...['-pcm16', '-ulaw'].map((coding) => `sndfile-convert ${coding} in.wav out.wav`),
      ...['-pcm16', '-ulaw'].map(
        (coding) => `sndfile-convert ${coding} in.wav x.wavex && mv x.wavex out.wav`,
      ),
    ],
  },
  'gst-launch-1.0': {
    read: [
      `${GST} wavenc ! filesink location=out.wav`,
      `${GST} audioconvert ! mulawenc ! wavenc ! filesink location=out.wav`,
      `${GST} wavenc ! fdsink | cat > out.wav`,
    ],
  },
  'espeak-ng': {
    'read once converted': [`espeak-ng -w out.wav ${TEXT}`, `espeak-ng --stdout ${TEXT} > out.wav`],
  },
  flite: { read: [`flite -t ${TEXT} -o out.wav`] },
  text2wave: {
    read: ['-o out.wav', '| cat > out.wav'].map((output) => `echo ${TEXT} | text2wave -F 8000 ${output}`),
    'read once converted': [`echo ${TEXT} | text2wave | cat > out.wav`],
  },
  lame: {
    read: ['lame in.wav x.mp3 && lame --decode x.mp3 - | cat > out.wav'],
    'read once converted': ['lame in.wav out.mp3'],
  },
  'lame mpg123': {
    read: ['out.wav x.mp3', '- x.mp3 | cat > out.wav'].map((to) => `lame in.wav x.mp3 && mpg123 -w ${to}`),
  },
  opusdec: { read: ['opusenc in.wav x.opus && opusdec --force-wav x.opus - | cat > out.wav'] },
  arecord: {
    read: [
      `tail -c +45 in.wav > in.raw && echo '${ALSA}' > .asoundrc && HOME=. arecord -D in -r 8000 -f S16_LE | head -c 50000 > out.wav`,
    ],
  },
  python3: {
    read: [python('w.writeframes(r.readframes(99999))')],
    'read, with a warning': [
      python('[w.writeframesraw(r.readframes(160)) for _ in range(200)]; w._file.flush(); os._exit(9)'),
    ],
  },
};

const bash = (command: string) => promisify(execFile)('bash', ['-c', command]);
const words = recording('question');
const home = await mkdtemp(join(tmpdir(), 'voice-relay-'));
process.chdir(home);
await writeFile('in.wav', writeWav(words));
let faults = 0;
const hasFfmpeg = (await versionOf('ffmpeg')) !== undefined;
for (const [program, outcomes] of Object.entries(COMMANDS)) {
  const version = await versionOf(program);
  if (version === undefined) {
    console.log(`${program} is not installed: left out`);
    continue;
  }
  for (const [expected, commands] of Object.entries(outcomes)) {
    if (expected === 'read once converted' && program !== 'sox' && !hasFfmpeg) {
      console.log(`ffmpeg is not installed: what ${program} makes to be converted is left out`);
      continue;
    }
    for (const command of commands) {
      const [file = ''] = /out\.\w+/.exec(command) ?? [];
      // A killed program fails, and yet leaves a recording.
      await bash(command).catch(() => {});
      const outcome = await read(file, SPEAKERS.includes(program)).catch((error: unknown) => String(error));
      await rm(file, { force: true });
      if (outcome !== expected) faults += 1;
      console.log(`${outcome === expected ? '  ok ' : '  NOT'}  ${version}  ${command}  is ${expected}`);
      if (outcome !== expected) console.log(`       but ${outcome}`);
    }
  }
}
await rm(home, { recursive: true });
process.exitCode = faults === 0 ? 0 : 1;

/** Reads a recording, or what the printed commands convert it to. */
async function read(file: string, isOther: boolean): Promise<Outcome> {
  try {
    const { audio, warning } = await readSpeech(file);
    const difference = Math.abs(audio.length - words.length);
    if (!isOther && difference > TOLERANCE_BYTES)
      throw new Error(`its length is off by ${difference / 8} ms`);
    return warning === undefined ? 'read' : 'read, with a warning';
  } catch (error) {
    if (!(error instanceof SpeechError)) throw error;
    if (error.message.includes('no speech')) return 'refused: no speech';
    let outcome: Outcome | undefined;
    for (const command of error.message.match(/(?:sox|ffmpeg) .*$/gm) ?? []) {
      // sox can't read every format.
      const made = await bash(command).catch(() => undefined);
      if (made !== undefined && (await read('speech.wav', isOther)) === 'read')
        outcome = 'read once converted';
      await rm('speech.wav', { force: true });
    }
    if (outcome === undefined) throw error;
    return outcome;
  }
}

/** Returns the last of these programs with its version, unless one isn't installed. */
async function versionOf(programs: string): Promise<string | undefined> {
  const [program = ''] = programs.split(' ').slice(-1);
  const version = `dpkg-query -W -f '\${Version}' "$(dpkg -S "$(readlink -f "$(which ${program})")" | cut -d: -f1)"`;
  const found = await bash(`type ${programs} > /dev/null && (${version} || ${program} --version)`).catch(
    () => undefined,
  );
  return found && `${program} ${found.stdout.trim()}`;
}

/** The command that runs Python's wave module on a reader `r` and a writer `w`. */
function python(code: string): string {
  const open = `r = wave.open('in.wav'); w = wave.open('out.wav', 'wb'); w.setparams((1, 2, 8000, 0, 'NONE', ''))`;
  return `python3 -c "import os, wave; ${open}; ${code}"`;
}
