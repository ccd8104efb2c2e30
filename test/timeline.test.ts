import { describe, expect, it } from 'vitest';
import { Timeline } from '../src/call/timeline.ts';

describe("the stream's clock", () => {
  it('starts with the stream', () => {
    expect(new Timeline(1000).clock(1300)).toBe(300);
  });

  it('is the last timestamp, and the time that has passed since', () => {
    const timeline = new Timeline(1000);
    timeline.frame(2000, 20, 2500);
    expect(timeline.clock(2500)).toBe(2000);
    expect(timeline.clock(3250)).toBe(2750);
  });

  it('goes on when timestamps start late', () => {
    const timeline = new Timeline(0);
    timeline.frame(0, 20, 900);
    expect(timeline.clock(900)).toBe(900);
  });

  it('goes on when timestamps start anew', () => {
    const timeline = new Timeline(0);
    timeline.frame(60_000, 20, 60_000);
    timeline.frame(0, 20, 60_020);
    expect(timeline.clock(60_020)).toBe(60_020);
    timeline.frame(500, 20, 60_520);
    expect(timeline.clock(60_520)).toBe(60_520);
  });
});

describe('missing audio', () => {
  function missingIn(...frames: [timestamp: number, ms: number][]): number[] {
    const timeline = new Timeline(0);
    return frames.map(([timestamp, ms]) => timeline.frame(timestamp, ms, timestamp));
  }

  it('is what the timestamps skip', () => {
    expect(missingIn([0, 20], [20, 20], [100, 20])).toEqual([0, 0, 60]);
  });

  it('is not looked for before the first frame', () => {
    expect(missingIn([3000, 20], [3020, 20])).toEqual([0, 0]);
  });

  it('is not seen in timestamps that are off by less than a frame', () => {
    expect(missingIn([0, 20], [26, 20], [41, 20], [60, 20])).toEqual([0, 0, 0, 0]);
  });

  it('is none where timestamps start anew or repeat', () => {
    expect(missingIn([5000, 20], [0, 20], [20, 20], [20, 20])).toEqual([0, 0, 0, 0]);
  });

  it('is less by what was made up meanwhile', () => {
    const timeline = new Timeline(0);
    timeline.frame(0, 20, 0);
    timeline.fill(1000);
    expect(timeline.frame(5020, 20, 5020)).toBe(4000);
  });
});

describe('a quiet line', () => {
  it('is quiet from the last frame on', () => {
    const timeline = new Timeline(0);
    expect(timeline.quietFor(5000)).toBe(0);
    timeline.frame(0, 20, 5000);
    expect(timeline.quietFor(5750)).toBe(750);
  });
});
