import { beforeEach, describe, expect, it } from 'vitest';
import { Phone } from './phone.ts';

const SILENCE = 0xff;

/** Audio of that length, each byte `byte`. */
function audio(ms: number, byte = 1): Uint8Array {
  return new Uint8Array(8 * ms).fill(byte);
}

/** What was heard as runs of [byte, samples]. */
function runs(heard: Uint8Array): [number, number][] {
  const found: [number, number][] = [];
  for (const byte of heard) {
    const last = found.at(-1);
    if (last?.[0] === byte) last[1] += 1;
    else found.push([byte, 1]);
  }
  return found;
}

const names = (marks: { name: string }[]) => marks.map(({ name }) => name);

let phone: Phone;
beforeEach(() => {
  phone = new Phone();
});

describe('Playout', () => {
  it('plays at once, without a gap unless audio is late', () => {
    phone.media(audio(20, 1), 10);
    phone.media(audio(20, 2), 11);
    phone.media(audio(20, 3), 60);
    expect(runs(phone.heard(70))).toEqual([
      [SILENCE, 80],
      [1, 160],
      [2, 160],
      [SILENCE, 80],
      [3, 80],
    ]);
  });

  it('returns what was heard since any moment', () => {
    phone.media(audio(30, 1), 10);
    phone.media(audio(30, 2), 60);
    phone.media(audio(30, 3), 60);
    const all = phone.heard(100);
    for (let since = 0; since <= 100; since += 7) {
      expect(phone.heard(100, since)).toEqual(all.subarray(8 * since));
    }
    expect(phone.heard(20, 20)).toHaveLength(0);
  });

  it('is exact to the sample', () => {
    phone.media(Uint8Array.of(1, 2, 3), 0.3);
    expect(phone.heard(0.49)).toEqual(Uint8Array.of(SILENCE, SILENCE, 1));
    expect(phone.heard(0.7)).toEqual(Uint8Array.of(SILENCE, SILENCE, 1, 2, 3));
    expect(phone.bufferedMs(0.49)).toBe(0.25);
  });

  it('reports what is buffered and heard, and how long it has been silent', () => {
    const told = (at: number) => [
      phone.playing(at),
      phone.bufferedMs(at),
      phone.heardMs(at),
      phone.silentMs(at),
    ];
    expect(told(10)).toEqual([false, 0, 0, 10]);
    phone.media(audio(20), 10);
    expect(told(10)).toEqual([true, 20, 0, 0]);
    expect(told(25)).toEqual([true, 5, 15, 0]);
    expect(told(30)).toEqual([false, 0, 20, 0]);
    expect(told(47)).toEqual([false, 0, 20, 17]);
  });
});

describe('A mark', () => {
  it('comes back once, when all audio before it has been played', () => {
    phone.media(audio(20), 5);
    phone.mark('first', 6);
    phone.media(audio(10), 7);
    phone.mark('second', 8);
    expect(phone.advance(24.9)).toEqual([]);
    expect(names(phone.advance(25))).toEqual(['first']);
    expect(names(phone.advance(60))).toEqual(['second']);
    expect(phone.advance(61)).toEqual([]);
    phone.mark('idle', 62);
    expect(names(phone.advance(62))).toEqual(['idle']);
  });
});

describe('A clear', () => {
  it('ends the audio, and returns all pending marks', () => {
    phone.media(audio(20, 1), 0);
    phone.mark('a', 0);
    phone.media(audio(20, 2), 0);
    phone.mark('b', 0);
    phone.media(audio(20, 3), 0);
    phone.mark('c', 0);
    phone.advance(20);
    expect(names(phone.clear(25))).toEqual(['b', 'c']);
    expect(phone.clear(26)).toEqual([]);
    expect(phone.advance(100)).toEqual([]);
    expect(phone.heardMs(100)).toBe(25);
    phone.media(audio(10, 4), 100);
    expect(runs(phone.heard(105))).toEqual([
      [1, 160],
      [2, 40],
      [SILENCE, 600],
      [4, 40],
    ]);
  });
});
