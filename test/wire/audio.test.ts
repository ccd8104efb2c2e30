import { describe, expect, it } from 'vitest';
import { audioMs, isAudio, silence } from '../../src/wire/audio.ts';

describe('audio', () => {
  it.each(['', '/w==', 'AAE=', 'A+/z'])('is what %j is', (base64) => {
    expect(isAudio(base64)).toBe(true);
  });

  it.each(['A', 'AAA', 'A===', 'AA=A', 'AA-_', '"}, ', 'AAA\n', 'AAAé', '\u0141AAA', 5, null, undefined, {}])(
    'is not what %j is',
    (value) => {
      expect(isAudio(value)).toBe(false);
    },
  );

  it.each([
    ['', 0],
    ['/w==', 1 / 8],
    [Buffer.alloc(160).toString('base64'), 20],
    [Buffer.alloc(161).toString('base64'), 20.125],
  ])('in %s lasts %d ms', (base64, ms) => {
    expect(audioMs(base64)).toBe(ms);
  });

  it('of silence has no sample that sounds', () => {
    expect(Buffer.from(silence(30), 'base64')).toEqual(Buffer.alloc(240, 0xff));
  });
});
