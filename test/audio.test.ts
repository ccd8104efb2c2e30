import { describe, expect, it } from 'vitest';
import { audioMs, decode, parseAudio, silence, wrap } from '../src/audio.ts';
import { audioIn } from './support/wire.ts';

describe('audio', () => {
  it.each(['', '/w==', 'AAE=', 'A+/z'])('is read from %j', (base64) => {
    expect(parseAudio(base64)).toEqual(audioIn(base64));
  });

  it.each(['A', 'AAA', 'A===', 'AA=A', 'AA-_', '"}, ', 'AAA\n', 'AAAé', '\u0141AAA', 5, null, undefined, {}])(
    'is not read from %j',
    (value) => {
      expect(parseAudio(value)).toBeUndefined();
    },
  );

  it.each([
    ['', 0],
    ['/w==', 1 / 8],
    [Buffer.alloc(160).toString('base64'), 20],
    [Buffer.alloc(161).toString('base64'), 20.125],
  ])('in %s lasts %d ms', (base64, ms) => {
    expect(audioMs(audioIn(base64))).toBe(ms);
  });

  it('of silence has no sample that sounds', () => {
    expect(decode(silence(30))).toEqual(Buffer.alloc(240, 0xff));
  });
});

describe('a message', () => {
  const head = Buffer.from('[[');
  const tail = Buffer.from(']]');
  const lying = (text: string) => ({ data: Buffer.from(text), start: 4, end: 8 });

  it('is put around the audio where there is room, and nowhere else', () => {
    const audio = lying('....AAAA....');
    const message = wrap(head, audio, tail);
    expect(message.toString()).toBe('[[AAAA]]');
    expect(audio.data.toString()).toBe('..[[AAAA]]..');
  });

  it.each([
    ['before', { data: Buffer.from('.AAAA....'), start: 1, end: 5 }],
    ['after', lying('....AAAA.')],
  ])('is written anew where there is no room %s it', (_, audio) => {
    const before = audio.data.toString();
    expect(wrap(head, audio, tail).toString()).toBe('[[AAAA]]');
    expect(audio.data.toString()).toBe(before);
  });

  it('can be put around the same audio anew, which spoils the one before', () => {
    const audio = lying('....AAAA....');
    const before = wrap(head, audio, tail);
    expect(wrap(Buffer.from('{{{'), audio, Buffer.from('}')).toString()).toBe('{{{AAAA}');
    expect(before.toString()).toBe('{{AAAA}]');
  });
});
