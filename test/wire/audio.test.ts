import { describe, expect, it } from 'vitest';
import { audioMs, isAudio, silence } from '../../src/wire/audio.ts';

describe('audio', () => {
  it.each(['', '/w==', 'AAE=', 'A+/z'])('%j is audio', (base64) => {
    expect(isAudio(base64)).toBe(true);
  });

  it.each(['A', 'AAA', 'A===', 'AA=A', 'AA-_', '"}, ', 'AAA\n', 'AAAé', '\u0141AAA', 5, null, undefined, {}])(
    '%j is not audio',
    (value) => {
      expect(isAudio(value)).toBe(false);
    },
  );

  it.each([
    [0, 0],
    [1, 1 / 8],
    [160, 20],
    [161, 20.125],
  ])('Audio of %d bytes lasts %d ms', (bytes, ms) => {
    expect(audioMs(Buffer.alloc(bytes).toString('base64'))).toBe(ms);
  });

  it('Silence is all 0xff, 8 bytes a millisecond', () => {
    expect(Buffer.from(silence(30), 'base64')).toEqual(Buffer.alloc(240, 0xff));
  });
});
