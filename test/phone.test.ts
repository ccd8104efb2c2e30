import { describe, expect, it } from 'vitest';
import { Phone } from './simulator/phone.ts';

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

describe('what the caller hears', () => {
  it('begins at once when nothing is buffered', () => {
    const phone = new Phone();
    phone.media(audio(20), 100);
    expect(runs(phone.heard(130))).toEqual([
      [SILENCE, 800],
      [1, 160],
      [SILENCE, 80],
    ]);
  });

  it('comes in order, without a gap, however early it was sent', () => {
    const phone = new Phone();
    phone.media(audio(20, 1), 0);
    phone.media(audio(20, 2), 1);
    phone.media(audio(20, 3), 2);
    expect(runs(phone.heard(50))).toEqual([
      [1, 160],
      [2, 160],
      [3, 80],
    ]);
  });

  it('has a gap where audio came late', () => {
    const phone = new Phone();
    phone.media(audio(20, 1), 0);
    phone.media(audio(20, 2), 30);
    expect(runs(phone.heard(50))).toEqual([
      [1, 160],
      [SILENCE, 80],
      [2, 160],
    ]);
  });

  it('is exact to the sample, at a time between two and for audio of any size', () => {
    const phone = new Phone();
    phone.media(Uint8Array.of(1, 2, 3), 0.3);
    expect(phone.heard(0.49)).toEqual(Uint8Array.of(SILENCE, SILENCE, 1));
    expect(phone.heard(0.7)).toEqual(Uint8Array.of(SILENCE, SILENCE, 1, 2, 3));
    expect(phone.bufferedMs(0.49)).toBe(0.25);
  });

  it('is silence, for as long as nothing comes', () => {
    expect(runs(new Phone().heard(60_000))).toEqual([[SILENCE, 480_000]]);
  });

  it('never changes afterwards', () => {
    const phone = new Phone();
    phone.media(audio(20), 0);
    const before = phone.heard(15);
    phone.clear(15);
    phone.media(audio(60_000, 2), 15);
    expect(runs(before)).toEqual([[1, 120]]);
  });

  it('is told in ms: buffered, heard, and silent since', () => {
    const phone = new Phone();
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

  it('takes an hour of small messages in no time', () => {
    const phone = new Phone();
    const began = performance.now();
    const elapsed = () => performance.now() - began;
    for (let at = 0; at < 3_600_000 && elapsed() < 4000; at += 20) {
      phone.media(audio(20), at);
      phone.mark('m', at);
      phone.advance(at);
      phone.heard(at);
    }
    expect(phone.heardMs(3_600_000)).toBe(3_600_000);
    expect(phone.heard(3_600_000).indexOf(SILENCE)).toBe(-1);
  });
});

describe('a mark', () => {
  it('comes back when all audio before it has been played', () => {
    const phone = new Phone();
    phone.media(audio(20), 5);
    phone.mark('first', 6);
    phone.media(audio(10), 7);
    phone.mark('second', 8);
    expect(phone.nextAt(8)).toBe(25);
    expect(phone.advance(24.9)).toEqual([]);
    expect(phone.advance(25)).toEqual([{ name: 'first', at: 25 }]);
    expect(phone.advance(60)).toEqual([{ name: 'second', at: 35 }]);
    expect(phone.advance(61)).toEqual([]);
  });

  it('comes back at once when nothing is buffered', () => {
    const phone = new Phone();
    phone.media(audio(20), 0);
    phone.mark('idle', 50);
    expect(phone.advance(50)).toEqual([{ name: 'idle', at: 50 }]);
  });

  it('is what happens next, or else the end of the audio, or nothing', () => {
    const phone = new Phone();
    expect(phone.nextAt(0)).toBeUndefined();
    phone.media(audio(20), 0);
    expect(phone.nextAt(0)).toBe(20);
    phone.mark('m', 0);
    phone.media(audio(20), 0);
    expect(phone.nextAt(10)).toBe(20);
    phone.advance(20);
    expect(phone.nextAt(20)).toBe(40);
    expect(phone.nextAt(40)).toBeUndefined();
  });
});

describe('clear', () => {
  it('ends the sound there and returns all marks still out at once', () => {
    const phone = new Phone();
    phone.media(audio(20, 1), 0);
    phone.mark('a', 0);
    phone.media(audio(20, 2), 0);
    phone.mark('b', 0);
    phone.media(audio(20, 3), 0);
    phone.mark('c', 0);
    phone.advance(20);
    expect(phone.clear(25)).toEqual([
      { name: 'b', at: 25 },
      { name: 'c', at: 25 },
    ]);
    expect(phone.advance(100)).toEqual([]);
    expect(phone.heardMs(100)).toBe(25);
    expect(runs(phone.heard(30))).toEqual([
      [1, 160],
      [2, 40],
      [SILENCE, 40],
    ]);
  });

  it('lets the next audio begin at once', () => {
    const phone = new Phone();
    phone.media(audio(1000, 1), 0);
    phone.clear(10);
    phone.media(audio(10, 2), 20);
    expect(runs(phone.heard(30))).toEqual([
      [1, 80],
      [SILENCE, 80],
      [2, 80],
    ]);
  });

  it('changes nothing when nothing is buffered', () => {
    const phone = new Phone();
    phone.media(audio(20), 0);
    expect(phone.clear(30)).toEqual([]);
    expect(runs(phone.heard(30))).toEqual([
      [1, 160],
      [SILENCE, 80],
    ]);
    expect(phone.silentMs(30)).toBe(10);
  });
});

describe('10 minutes of audio', () => {
  it('are buffered; what would be more is dropped until some has been played', () => {
    const phone = new Phone();
    expect(phone.media(audio(600_000), 0)).toBe(true);
    expect(phone.media(audio(20), 0)).toBe(false);
    expect(phone.bufferedMs(0)).toBe(600_000);
    expect(phone.media(audio(20), 20)).toBe(true);
  });
});
