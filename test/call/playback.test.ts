import { describe, expect, it } from 'vitest';
import { Playback } from '../../src/call/playback.ts';

describe('what the caller has heard', () => {
  it('is the time that has passed since the audio was sent', () => {
    const playback = new Playback();
    playback.sent('a', 1000, 5000);
    expect(playback.interrupt(5400)).toEqual([{ item_id: 'a', audio_end_ms: 400 }]);
  });

  it('counts audio from when all before it has ended', () => {
    const playback = new Playback();
    playback.sent('a', 1000, 0);
    playback.sent('a', 1000, 100);
    expect(playback.interrupt(1500)).toEqual([{ item_id: 'a', audio_end_ms: 1500 }]);
  });

  it('leaves out the pause in an item whose audio came late', () => {
    const playback = new Playback();
    playback.sent('a', 200, 0);
    playback.sent('a', 1000, 700);
    expect(playback.interrupt(900)).toEqual([{ item_id: 'a', audio_end_ms: 400 }]);
  });

  it('is a whole number of ms, never more than the item has', () => {
    const playback = new Playback();
    playback.sent('a', 20.125, 0);
    expect(playback.interrupt(20.1)).toEqual([{ item_id: 'a', audio_end_ms: 20 }]);
  });

  it('is nothing of the items queued behind the one being heard', () => {
    const playback = new Playback();
    playback.sent('a', 400, 0);
    playback.sent('b', 400, 10);
    playback.sent('c', 400, 20);
    expect(playback.interrupt(300)).toEqual([
      { item_id: 'a', audio_end_ms: 300 },
      { item_id: 'b', audio_end_ms: 0 },
      { item_id: 'c', audio_end_ms: 0 },
    ]);
  });

  it('is all of an item that has ended, which is left alone', () => {
    const playback = new Playback();
    playback.sent('a', 400, 0);
    playback.sent('b', 400, 10);
    expect(playback.interrupt(500)).toEqual([{ item_id: 'b', audio_end_ms: 100 }]);
  });

  it('is everything once the last audio has ended', () => {
    const playback = new Playback();
    playback.sent('a', 400, 0);
    expect(playback.interrupt(400)).toEqual([]);
  });

  it('starts anew after an interruption', () => {
    const playback = new Playback();
    playback.sent('a', 4000, 0);
    playback.interrupt(100);
    playback.sent('b', 1000, 200);
    expect(playback.interrupt(450)).toEqual([{ item_id: 'b', audio_end_ms: 250 }]);
  });
});

describe('a mark that comes back', () => {
  it('has been heard, however early it comes', () => {
    const playback = new Playback();
    const first = playback.sent('a', 400, 0);
    playback.sent('a', 400, 0);
    playback.echoed(first, 300);
    expect(playback.interrupt(310)).toEqual([{ item_id: 'a', audio_end_ms: 410 }]);
  });

  it('vouches for all that was sent before it', () => {
    const playback = new Playback();
    playback.sent('a', 400, 0);
    const second = playback.sent('b', 400, 0);
    playback.echoed(second, 500);
    expect(playback.interrupt(510)).toEqual([]);
  });

  it('is expected a round trip late, which changes nothing', () => {
    const playback = new Playback();
    const first = playback.sent('a', 400, 0);
    playback.sent('a', 400, 0);
    playback.echoed(first, 460);
    expect(playback.interrupt(600)).toEqual([{ item_id: 'a', audio_end_ms: 600 }]);
  });

  it('says nothing after an interruption, as Twilio sends all marks back then', () => {
    const playback = new Playback();
    const cleared = playback.sent('a', 400, 0);
    playback.interrupt(100);
    playback.sent('b', 400, 150);
    playback.echoed(cleared, 200);
    expect(playback.interrupt(250)).toEqual([{ item_id: 'b', audio_end_ms: 100 }]);
  });

  it('has a name of its own', () => {
    const playback = new Playback();
    const names = [playback.sent('a', 20, 0), playback.sent('a', 20, 0)];
    playback.interrupt(0);
    names.push(playback.sent('b', 20, 0));
    expect(new Set(names).size).toBe(3);
  });
});

describe('when Twilio plays later than reckoned', () => {
  function withRoundTrip(roundTrip: number): Playback {
    const playback = new Playback();
    playback.echoed(playback.sent('early', 100, 0), 100 + roundTrip);
    return playback;
  }

  it('an echo later than the round trip moves what follows', () => {
    const playback = withRoundTrip(60);
    const first = playback.sent('a', 400, 1000);
    playback.sent('a', 400, 1000);
    playback.echoed(first, 1400 + 60 + 300);
    expect(playback.interrupt(1800)).toEqual([{ item_id: 'a', audio_end_ms: 500 }]);
  });

  it('a mark long overdue says so before it is back', () => {
    const playback = withRoundTrip(60);
    playback.sent('a', 400, 1000);
    playback.sent('b', 400, 1000);
    expect(playback.interrupt(1400 + 60 + 300)).toEqual([
      { item_id: 'a', audio_end_ms: 399 },
      { item_id: 'b', audio_end_ms: 0 },
    ]);
  });

  it('jitter is not taken for it', () => {
    const playback = withRoundTrip(60);
    const first = playback.sent('a', 400, 1000);
    playback.sent('a', 400, 1000);
    playback.echoed(first, 1400 + 60 + 90);
    expect(playback.interrupt(1600)).toEqual([{ item_id: 'a', audio_end_ms: 600 }]);
  });

  it('a mark that never comes back is forgotten in the end', () => {
    const playback = withRoundTrip(60);
    playback.sent('a', 400, 1000);
    playback.sent('b', 400, 20_000);
    expect(playback.interrupt(20_100)).toEqual([{ item_id: 'b', audio_end_ms: 100 }]);
  });
});
