import { describe, expect, it } from 'vitest';
import { Phone } from './phone.ts';

const SILENCE = 0xff;

/** Audio of that length, each byte `byte`. */
const audio = (ms: number, byte = 1) => new Uint8Array(8 * ms).fill(byte);
const names = (marks: { name: string }[]) => marks.map(({ name }) => name);

describe('Phone', () => {
  it('plays audio at once and without a gap, and silence where the next came late', () => {
    const phone = new Phone();
    phone.media(audio(20, 1), 10);
    phone.media(audio(20, 2), 11);
    phone.media(audio(20, 3), 60);
    const silence = audio(10, SILENCE);
    const heard = [silence, audio(20, 1), audio(20, 2), silence, audio(10, 3)];
    expect(phone.heard(70)).toEqual(new Uint8Array(Buffer.concat(heard)));
    for (let since = 0; since <= 70; since += 7) {
      expect(phone.heard(70, since)).toEqual(phone.heard(70).subarray(8 * since));
    }
  });

  it('is exact to the sample', () => {
    const phone = new Phone();
    phone.media(Uint8Array.of(1, 2, 3), 0.3);
    expect(phone.heard(0.49)).toEqual(Uint8Array.of(SILENCE, SILENCE, 1));
    expect(phone.heard(0.7)).toEqual(Uint8Array.of(SILENCE, SILENCE, 1, 2, 3));
    expect(phone.bufferedMs(0.49)).toBe(0.25);
  });

  it('counts what is buffered, what was heard, and the silence since', () => {
    const phone = new Phone();
    phone.media(audio(20), 10);
    const counts = [10, 25, 30, 47].map((at) => {
      return [phone.playing(at), phone.bufferedMs(at), phone.heardMs(at), phone.silentMs(at)];
    });
    expect(counts).toEqual([
      [true, 20, 0, 0],
      [true, 5, 15, 0],
      [false, 0, 20, 0],
      [false, 0, 20, 17],
    ]);
  });

  it('returns a mark once, when all audio before it has been played', () => {
    const phone = new Phone();
    phone.media(audio(20), 5);
    phone.mark('first', 6);
    phone.media(audio(10), 7);
    phone.mark('second', 8);
    expect([24.9, 25, 60, 61].map((at) => names(phone.advance(at)))).toEqual([[], ['first'], ['second'], []]);
    phone.mark('idle', 62);
    expect(names(phone.advance(62))).toEqual(['idle']);
  });

  it('ends the sound at clear, and returns all marks still out', () => {
    const phone = new Phone();
    for (const [i, name] of ['a', 'b', 'c'].entries()) {
      phone.media(audio(20, i + 1), 0);
      phone.mark(name, 0);
    }
    phone.advance(20);
    expect(names(phone.clear(25))).toEqual(['b', 'c']);
    expect([...phone.clear(26), ...phone.advance(100)]).toEqual([]);
    phone.media(audio(10, 4), 100);
    const heard = [audio(20, 1), audio(5, 2), audio(75, SILENCE), audio(5, 4)];
    expect(phone.heard(105)).toEqual(new Uint8Array(Buffer.concat(heard)));
  });
});
