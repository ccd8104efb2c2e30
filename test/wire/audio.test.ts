import { describe, expect, it } from 'vitest';
import { audioMs, isAudio, silence } from '../../src/wire/audio.ts';

describe('Audio', () => {
  it.each(['', '/w==', 'AAE=', 'A+/z'])('may be %j', (base64) => {
    expect(isAudio(base64)).toBe(true);
  });

  it.each(['A', 'AAA', 'A===', 'AA=A', 'AA-_', '"}, ', 'AAA\n', 'AAAé', '\u0141AAA', 5, null, undefined, {}])(
    'is never %j',
    (value) => {
      expect(isAudio(value)).toBe(false);
    },
  );

  it.each([
    [0, 0],
    [1, 1 / 8],
    [160, 20],
    [161, 20.125],
  ])('of %d bytes lasts %d ms', (bytes, ms) => {
    expect(audioMs(Buffer.alloc(bytes).toString('base64'))).toBe(ms);
  });

  it('is silent when all bytes are 0xff', () => {
    expect(Buffer.from(silence(30), 'base64')).toEqual(Buffer.alloc(240, 0xff));
  });
});
