import { describe, expect, it } from 'vitest';
import { Caller } from '../../src/conversation/caller.ts';
import { audio, expected } from '../support/wire.ts';

const { append } = expected;
const FRAME = audio(20);
const silence = (ms: number) => append(audio(ms, 0xff));

/** A caller whose session is ready. */
function readyCaller(now = 0): Caller {
  const caller = new Caller(1_000);
  caller.streamStarted(now);
  caller.sessionReady();
  return caller;
}

describe("the stream's clock", () => {
  it('The clock starts with the stream', () => {
    expect(readyCaller(1000).clock(1300)).toBe(300);
  });

  it('The clock says the last timestamp and the time that has passed since', () => {
    const caller = readyCaller(1000);
    caller.frame({ timestamp: 2000, payload: FRAME }, false, 2500);
    expect(caller.clock(2500)).toBe(2000);
    expect(caller.clock(3250)).toBe(2750);
  });

  it('The clock goes on when timestamps start late', () => {
    const caller = readyCaller();
    caller.frame({ timestamp: 0, payload: FRAME }, false, 900);
    expect(caller.clock(900)).toBe(900);
  });

  it('The clock runs no faster when the first frames come late', () => {
    const caller = readyCaller();
    for (const timestamp of [0, 20, 40, 60, 80]) caller.frame({ timestamp, payload: FRAME }, false, 120);
    expect(caller.clock(120)).toBe(120);
    caller.frame({ timestamp: 1_080, payload: FRAME }, false, 1_120);
    expect(caller.clock(1_120)).toBe(1_120);
  });

  it('The clock goes on when timestamps start anew', () => {
    const caller = readyCaller();
    caller.frame({ timestamp: 60_000, payload: FRAME }, false, 60_000);
    caller.frame({ timestamp: 0, payload: FRAME }, false, 60_020);
    expect(caller.clock(60_020)).toBe(60_020);
    caller.frame({ timestamp: 500, payload: FRAME }, false, 60_520);
    expect(caller.clock(60_520)).toBe(60_520);
  });
});

describe("the caller's audio", () => {
  it('A frame goes up as it came', () => {
    expect(readyCaller().frame({ timestamp: 0, payload: 'AAECAw==' }, false, 0)).toEqual([
      append('AAECAw=='),
    ]);
  });

  it('An empty frame is not passed on', () => {
    expect(readyCaller().frame({ timestamp: 0, payload: '' }, false, 0)).toEqual([]);
  });

  it('Audio from before the session is ready is passed on in order', () => {
    const caller = new Caller(1_000);
    expect(caller.frame({ timestamp: 0, payload: audio(20, 1) }, false, 0)).toEqual([]);
    expect(caller.frame({ timestamp: 20, payload: audio(20, 2) }, false, 20)).toEqual([]);
    expect(caller.sessionReady()).toEqual([append(audio(20, 1)), append(audio(20, 2))]);
  });

  it('Audio of 20 s waits for the session: older frames are dropped and counted', () => {
    const caller = new Caller(1_000);
    for (let n = 0; n < 1_003; n++)
      caller.frame({ timestamp: n * 20, payload: audio(20, n % 256) }, false, n * 20);
    const kept = caller.sessionReady();
    expect(kept).toHaveLength(1_000);
    expect(kept[0]).toEqual(append(audio(20, 3)));
    expect(caller.counts.earlyFramesDropped).toBe(3);
  });
});

describe("the caller's audio, where a stream is hostile", () => {
  it('No more than 1,000 frames wait for the session, however short they are', () => {
    const caller = new Caller(1_000);
    for (let n = 0; n < 3_000; n++) caller.frame({ timestamp: n, payload: audio(1) }, false, n);
    expect(caller.sessionReady()).toHaveLength(1_000);
  });

  it('is filled by 10 s more than have passed at most', () => {
    const caller = readyCaller();
    caller.frame({ timestamp: 0, payload: FRAME }, false, 0);
    const filled = [5_000, 10_000, 15_000].map(
      (timestamp, n) => caller.frame({ timestamp, payload: FRAME }, false, 20 * (n + 1))[0],
    );
    expect(filled).toEqual([silence(4_980), silence(4_980), silence(20)]);
  });

  it.each([60_000, 999_999_999_999_999])('has a clock that a jump to %d does not move', (timestamp) => {
    const caller = readyCaller();
    caller.frame({ timestamp: 0, payload: FRAME }, false, 0);
    expect(caller.frame({ timestamp, payload: FRAME }, false, 20)).toEqual([append(FRAME)]);
    expect(caller.clock(20)).toBe(20);
  });
});

describe("a gap in the caller's audio", () => {
  /** What goes up for frames of 20 ms with these timestamps, the frames themselves left out. */
  function filledIn(...timestamps: number[]): unknown[] {
    const caller = readyCaller();
    return timestamps.flatMap((timestamp) =>
      caller.frame({ timestamp: timestamp, payload: FRAME }, false, timestamp).slice(0, -1),
    );
  }

  it('A gap is filled with silence, and counted', () => {
    const caller = readyCaller();
    caller.frame({ timestamp: 0, payload: FRAME }, false, 0);
    expect(caller.frame({ timestamp: 100, payload: FRAME }, false, 100)).toEqual([
      silence(80),
      append(FRAME),
    ]);
    expect(caller.counts).toMatchObject({ framesUp: 2, gapsFilled: 1 });
  });

  it('A gap is filled up to 10 s', () => {
    expect(filledIn(0, 60_000)).toEqual([silence(10_000)]);
  });

  it('No gap is seen before the first frame', () => {
    expect(filledIn(3000, 3020)).toEqual([]);
  });

  it('No gap is seen in timestamps that are off by less than a frame', () => {
    expect(filledIn(0, 26, 41, 60)).toEqual([]);
  });

  it('No gap is seen where timestamps start anew or repeat', () => {
    expect(filledIn(5000, 0, 20, 20)).toEqual([]);
  });
});

describe('a caller who is muted in mid-sentence', () => {
  function speakingUntil(ms: number): Caller {
    const caller = readyCaller();
    caller.frame({ timestamp: ms, payload: FRAME }, false, ms);
    return caller;
  }

  it('A caller who is muted in mid-sentence is given a second of silence, once', () => {
    const caller = speakingUntil(1000);
    expect(caller.tick(true, 1749)).toEqual([]);
    expect(caller.tick(true, 1750)).toEqual([silence(1000)]);
    expect(caller.tick(true, 2000)).toEqual([]);
  });

  it('The silence that a muted caller was given is no part of the gap', () => {
    const caller = speakingUntil(1000);
    caller.tick(true, 1750);
    expect(caller.frame({ timestamp: 5000, payload: FRAME }, false, 5000)[0]).toEqual(silence(2980));
  });

  it('A caller who is muted after a sentence is given no silence', () => {
    const caller = speakingUntil(1000);
    expect(caller.tick(false, 1000 + 9000)).toEqual([]);
  });

  it('The silence that a muted caller was given leaves room for gaps later on', () => {
    const caller = new Caller(8_500);
    caller.sessionReady();
    caller.frame({ timestamp: 0, payload: FRAME }, false, 0);
    caller.tick(true, 1_000);
    for (let at = 20; at < 20_000; at += 20) caller.frame({ timestamp: at, payload: FRAME }, false, at);
    expect(caller.frame({ timestamp: 25_000, payload: FRAME }, false, 25_000)).toEqual([
      silence(5_000),
      append(FRAME),
    ]);
  });

  it('A caller from whom no frame has come is given no silence', () => {
    const caller = readyCaller();
    expect(caller.tick(true, 5000)).toEqual([]);
  });
});
