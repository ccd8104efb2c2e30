import { describe, expect, it } from 'vitest';
import { Resampler } from './page/resampler.js';

const RATES = [8_000, 16_000, 22_050, 44_100, 48_000, 96_000];

function tone(hz: number, rate: number, seconds = 0.5): Float32Array {
  return Float32Array.from({ length: rate * seconds }, (_, i) => Math.sin((2 * Math.PI * hz * i) / rate));
}

/** `samples` at another rate, in pieces of that length. */
function resample(samples: Float32Array, from: number, to: number, pieceLength = 128): number[] {
  const resampler = new Resampler(from, to);
  const all: number[] = [];
  for (let at = 0; at < samples.length; at += pieceLength) {
    all.push(...resampler.process(samples.subarray(at, at + pieceLength)));
  }
  return all;
}

/** The level of audio without its first and last 20 ms, in dB below a full tone. */
function level(samples: number[], rate: number): number {
  const middle = samples.slice(rate / 50, -rate / 50);
  return 10 * Math.log10((2 * middle.reduce((sum, x) => sum + x * x, 0)) / middle.length);
}

/** `samples` without the tone of `hz` in them, whatever its phase. */
function without(hz: number, samples: number[], rate: number): number[] {
  const whole = samples.slice(0, rate / 10);
  const angle = (i: number) => (2 * Math.PI * hz * i) / rate;
  const sine = (2 / whole.length) * whole.reduce((sum, x, i) => sum + x * Math.sin(angle(i)), 0);
  const cosine = (2 / whole.length) * whole.reduce((sum, x, i) => sum + x * Math.cos(angle(i)), 0);
  return whole.map((x, i) => x - sine * Math.sin(angle(i)) - cosine * Math.cos(angle(i)));
}

describe('Resampler', () => {
  it.each(RATES)('takes speech from %i Hz to 8 kHz, as loud and as long as it was', (rate) => {
    for (const hz of [200, 1_000, 3_300]) {
      const down = resample(tone(hz, rate), rate, 8_000);
      expect(Math.abs(level(down, 8_000))).toBeLessThan(0.3);
      expect(Math.abs(down.length - 4_000)).toBeLessThanOrEqual(1);
    }
  });

  it.each(RATES.slice(1))('removes what a telephone does not carry, from %i Hz', (rate) => {
    for (const hz of [4_100, 5_000, 7_000, 7_900].filter((tooHigh) => tooHigh < rate / 2)) {
      expect(level(resample(tone(hz, rate), rate, 8_000), 8_000)).toBeLessThan(-50);
    }
  });

  it.each(RATES.slice(1))('takes 8 kHz to %i Hz, with nothing added above', (rate) => {
    const up = resample(tone(1_000, 8_000), 8_000, rate, 160);
    expect(Math.abs(up.length - rate / 2)).toBeLessThanOrEqual(rate / 8_000 + 1);
    const middle = up.slice(rate / 50, -rate / 50);
    expect(Math.abs(level(middle, rate))).toBeLessThan(0.1);
    expect(level(without(1_000, middle, rate), rate)).toBeLessThan(-50);
  });

  it('returns the same, whatever the pieces', () => {
    const samples = tone(440, 44_100);
    const whole = resample(samples, 44_100, 8_000, samples.length);
    for (const pieceLength of [1, 128, 999]) {
      expect(resample(samples, 44_100, 8_000, pieceLength)).toEqual(whole);
    }
  });
});
