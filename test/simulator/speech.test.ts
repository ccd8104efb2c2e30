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

/** What reading a file of that name fails with. */
async function failure(name: string, content: Uint8Array = Buffer.from('not a WAV')): Promise<string> {
  writeFileSync(name, content);
  return readSpeech(name).then(
    () => 'nothing',
    (error: unknown) => String(error),
  );
}

describe('readSpeech', () => {
  it('reads a question', async () => {
    writeFileSync('question.wav', writeWav(recording('question')));
    expect((await readSpeech('question.wav')).audio).toHaveLength(recording('question').length);
  });

  it('names an output that does not exist', async () => {
    expect(await failure('a.mp3')).toMatch(/sox a\.mp3 .* speech\.wav\n.*ffmpeg -i a\.mp3 .* speech\.wav$/);
    expect(await failure('speech.wav')).toMatch(/sox speech\.wav .* speech-2\.wav\n.* speech-2\.wav$/);
  });

  it.each([
    ["it's me.wav", "'it'\\''s me.wav'"],
    ['-n.wav', './-n.wav'],
    ['|id.wav', "'./|id.wav'"],
    ['a:b.wav', "'./a:b.wav'"],
  ])('quotes %s for a shell', async (name, quoted) => {
    expect(await failure(name)).toContain(`ffmpeg -i ${quoted} -ar`);
  });

  it.each([
    ['ulaw', '-t ul -r 8000 -c 1', '-f mulaw -ar 8000 -ac 1'],
    ['UL', '-t ul -r 8000 -c 1', '-f mulaw -ar 8000 -ac 1'],
    ['raw', '-t ul -r 8000 -c 1', '-f mulaw -ar 8000 -ac 1'],
    ['al', '-t al -r 8000 -c 1', '-f alaw -ar 8000 -ac 1'],
    ['pcm', '-t s16 -r 8000 -c 1', '-f s16le -ar 8000 -ac 1'],
  ])('says what a headerless .%s may hold', async (extension, sox, ffmpeg) => {
    const advice = await failure(`a.${extension}`);
    expect(advice).toContain(`sox ${sox} a.${extension} `);
    expect(advice).toContain(`ffmpeg ${ffmpeg} -i a.${extension} `);
  });

  it('has sox ignore a size that is wrong', async () => {
    const streamed = writeWav(recording('question'), recording('question'));
    streamed.writeUInt32LE(0, 40);
    expect(await failure('pipe.wav', streamed)).toContain('sox --ignore-length pipe.wav');
  });

  it.each([
    ['too quiet', new Uint8Array(8_000).fill(0xe5), 'at -41 dBFS'],
    ['too short', recording('question').subarray(4_000, 4_100), 'at -19 dBFS'],
    ['silent', new Uint8Array(8_000).fill(0xff), 'silent'],
  ])('refuses what is %s', async (_, audio, level) => {
    const words = await failure('quiet.wav', writeWav(audio));
    expect(words).toMatch(/quiet\.wav has no speech in it: /);
    expect(words).toMatch(new RegExp(` are ${level}\\.$`));
  });
});
