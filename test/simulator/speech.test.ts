import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { recording } from './recording.ts';
import { readSpeech } from './speech.ts';
import { writeWav } from './wav.ts';

const home = process.cwd();
const folder = mkdtempSync(join(tmpdir(), 'voice-relay-'));
process.chdir(folder);
afterAll(() => {
  process.chdir(home);
  rmSync(folder, { recursive: true });
});

/** Reads a file of that name, or returns what that fails with. */
function read(name: string, content: Uint8Array = Buffer.from('not a WAV')) {
  writeFileSync(name, content);
  return readSpeech(name).catch((error: unknown) => String(error));
}

describe('readSpeech', () => {
  it('reads a question', async () => {
    const audio = recording('question');
    expect(await read('question.wav', writeWav(audio))).toMatchObject({ audio: { length: audio.length } });
  });

  it.each([
    ['a.mp3', 'sox a.mp3 -r 8000', 'ffmpeg -i a.mp3 -ar 8000', 'speech.wav'],
    ['speech.wav', 'sox speech.wav', 'ffmpeg -i speech.wav', 'speech-2.wav'],
    ["it's me.wav", "sox 'it'\\''s me.wav'", "ffmpeg -i 'it'\\''s me.wav'"],
    ['-n.wav', 'sox ./-n.wav', 'ffmpeg -i ./-n.wav'],
    ['|id.wav', "sox './|id.wav'", "ffmpeg -i './|id.wav'"],
    ['a:b.wav', "sox './a:b.wav'", "ffmpeg -i './a:b.wav'"],
    ['a.ulaw', 'sox -t ul -r 8000 -c 1 a.ulaw', 'ffmpeg -f mulaw -ar 8000 -ac 1 -i a.ulaw'],
    ['a.UL', 'sox -t ul -r 8000 -c 1 a.UL', 'ffmpeg -f mulaw -ar 8000 -ac 1 -i a.UL'],
    ['a.raw', 'sox -t ul -r 8000 -c 1 a.raw', 'ffmpeg -f mulaw -ar 8000 -ac 1 -i a.raw'],
    ['a.al', 'sox -t al -r 8000 -c 1 a.al', 'ffmpeg -f alaw -ar 8000 -ac 1 -i a.al'],
    ['a.pcm', 'sox -t s16 -r 8000 -c 1 a.pcm', 'ffmpeg -f s16le -ar 8000 -ac 1 -i a.pcm'],
  ])('says how to convert %s', async (name, sox, ffmpeg, output = 'speech.wav') => {
    if (name !== 'speech.wav') rmSync('speech.wav', { force: true });
    const [soxLine = '', ffmpegLine = ''] = String(await read(name))
      .split('\n')
      .slice(-2);
    expect([soxLine, ffmpegLine]).toEqual([expect.stringContaining(sox), expect.stringContaining(ffmpeg)]);
    for (const line of [soxLine, ffmpegLine]) expect(line.split(' ').at(-1)).toBe(output);
  });

  it('has sox ignore a length that is wrong', async () => {
    const streamed = writeWav(recording('question'), recording('question'));
    streamed.writeUInt32LE(0, 40);
    expect(await read('pipe.wav', streamed)).toContain('sox --ignore-length pipe.wav');
  });

  it.each([
    ['too quiet', new Uint8Array(8_000).fill(0xe5), 'at -41 dBFS'],
    ['too short', recording('question').subarray(4_000, 4_100), 'at -19 dBFS'],
    ['silent', new Uint8Array(8_000).fill(0xff), 'silent'],
  ])('refuses what is %s', async (_, audio, level) => {
    const words = await read('quiet.wav', writeWav(audio));
    expect(words).toMatch(new RegExp(`quiet\\.wav has no speech in it: .* are ${level}\\.$`));
  });
});
