import { beforeEach, describe, expect, it } from 'vitest';
import { Playback } from '../../src/conversation/playback.ts';

let playback: Playback;
beforeEach(() => {
  playback = new Playback((now) => now);
});

/** That the caller, cutting in at `clock`, has heard so many ms of each of these items, and all of the others. */
function expectHeard(clock: number, heard: Record<string, number>): void {
  const cuts = Object.entries(heard).map(([item_id, audio_end_ms]) => ({
    item_id,
    audio_end_ms,
    isLost: false,
  }));
  expect(playback.interrupt(clock)).toEqual(cuts);
}

describe('what the caller has heard', () => {
  it('An item was heard for as long as it was sent ago', () => {
    playback.sent('a', 1000, 5000);
    expectHeard(5400, { a: 400 });
  });

  it('Audio begins when all before it has ended', () => {
    playback.sent('a', 1000, 0);
    playback.sent('a', 1000, 100);
    expectHeard(1500, { a: 1500 });
  });

  it('The pause in an item whose audio came late is not counted as heard', () => {
    playback.sent('a', 200, 0);
    playback.sent('a', 1000, 700);
    expectHeard(900, { a: 400 });
  });

  it('An item that takes turns with another was heard up to its first unheard ms', () => {
    playback.sent('a', 100, 0);
    playback.sent('b', 100, 0);
    playback.sent('a', 100, 0);
    expectHeard(53, { a: 53, b: 0 });
  });

  it('An item that takes turns with another goes on from where it was', () => {
    playback.sent('a', 100, 0);
    playback.sent('b', 100, 0);
    playback.sent('a', 100, 0);
    expectHeard(253, { a: 153 });
  });

  it('A whole number of ms was heard, never more than the item has', () => {
    playback.sent('a', 20.125, 0);
    expectHeard(20.1, { a: 20 });
  });

  it('Nothing was heard of the items queued behind the one being heard', () => {
    playback.sent('a', 400, 0);
    playback.sent('b', 400, 10);
    playback.sent('c', 400, 20);
    expectHeard(300, { a: 300, b: 0, c: 0 });
  });

  it('An item that has ended is left alone', () => {
    playback.sent('a', 400, 0);
    playback.sent('b', 400, 10);
    expectHeard(500, { b: 100 });
  });

  it('Everything was heard once the last audio has ended', () => {
    playback.sent('a', 400, 0);
    expectHeard(400, {});
  });

  it('What was interrupted is not counted again', () => {
    playback.sent('a', 4000, 0);
    playback.interrupt(100);
    playback.sent('b', 1000, 200);
    expectHeard(450, { b: 250 });
  });
});

describe('what is on its way to the caller', () => {
  it('No more is sent while 10,000 deltas or 10 minutes are unheard', () => {
    for (let n = 0; n < 9_999; n++) playback.sent('a', 1, 0);
    expect(playback.isFull(0)).toBe(false);
    const last = playback.sent('a', 1, 0);
    expect(playback.isFull(0)).toBe(true);
    playback.echoed(last, 10_000);
    expect(playback.isFull(10_000)).toBe(false);
    playback.sent('b', 600_000, 10_000);
    expect(playback.isFull(10_000)).toBe(true);
    expect(playback.isFull(30_000)).toBe(false);
  });
});

describe('a mark that comes back', () => {
  it('What a mark follows was heard, however early it comes back', () => {
    const first = playback.sent('a', 400, 0);
    playback.sent('a', 400, 0);
    playback.echoed(first, 300);
    expectHeard(310, { a: 410 });
  });

  it('All that was sent before a mark that comes back was heard', () => {
    playback.sent('a', 400, 0);
    const second = playback.sent('b', 400, 0);
    playback.echoed(second, 500);
    expectHeard(510, {});
  });

  it('A mark that comes back a round trip late changes nothing', () => {
    const first = playback.sent('a', 400, 0);
    playback.sent('a', 400, 0);
    playback.echoed(first, 460);
    expectHeard(600, { a: 600 });
  });

  it('A mark that comes back because of an interruption says nothing', () => {
    const cleared = playback.sent('a', 400, 0);
    playback.interrupt(100);
    playback.sent('b', 400, 150);
    playback.echoed(cleared, 200);
    expectHeard(250, { b: 100 });
  });

  it('No two marks have the same name', () => {
    const names = [playback.sent('a', 20, 0), playback.sent('a', 20, 0)];
    playback.interrupt(0);
    names.push(playback.sent('b', 20, 0));
    expect(new Set(names).size).toBe(3);
  });
});

describe('when Twilio plays later than reckoned', () => {
  beforeEach(() => {
    const roundTrip = 60;
    playback.echoed(playback.sent('early', 100, 0), 100 + roundTrip);
  });

  it('A mark that comes back later than a round trip moves what follows', () => {
    const first = playback.sent('a', 400, 1000);
    playback.sent('a', 400, 1000);
    playback.echoed(first, 1400 + 60 + 300);
    expectHeard(1800, { a: 500 });
  });

  it('A mark that is long overdue says that its audio is still played', () => {
    playback.sent('a', 400, 1000);
    playback.sent('b', 400, 1000);
    expectHeard(1400 + 60 + 300, { a: 399, b: 0 });
  });

  it('A mark that is late by no more than jitter moves nothing', () => {
    const first = playback.sent('a', 400, 1000);
    playback.sent('a', 400, 1000);
    playback.echoed(first, 1400 + 60 + 90);
    expectHeard(1600, { a: 600 });
  });

  it('A mark that never comes back is forgotten in the end', () => {
    playback.sent('a', 400, 1000);
    playback.sent('b', 400, 20_000);
    expectHeard(20_100, { b: 100 });
  });
});
