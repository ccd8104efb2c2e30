import { describe, expect, it } from 'vitest';
import type { CallerEvent } from './caller.ts';
import { reportOf } from './report.ts';

const opened: CallerEvent = { type: 'stream-started', streamSid: 'MZ1', at: 100 };
const sound = (at: number): CallerEvent => ({ type: 'first-sound', at });
const silence = (at: number): CallerEvent => ({ type: 'silence', at });
const cleared = (at: number): CallerEvent => ({ type: 'cleared', at, heardMs: 900, unheardMs: 2_000 });

/** The caller speaking from one time to another, as it is told. */
function speech(from: number, to: number): CallerEvent[] {
  return [
    { type: 'speech-started', at: from + 60, agoMs: 60, isOverAssistant: false },
    { type: 'speech-stopped', at: to + 500, agoMs: 500, speechMs: to - from },
  ];
}

/** The latencies of the turns of these events, in whichever order they were told. */
function latencies(...events: CallerEvent[]) {
  const { turns } = reportOf(events.sort((a, b) => a.at - b.at));
  return turns.map(({ latencyMs }) => latencyMs);
}

describe('the report of a call', () => {
  it('The first sound is timed from the stream’s start', () => {
    expect(reportOf([opened, sound(450)]).firstSoundMs).toBe(350);
    expect(reportOf([opened])).toEqual({ turns: [], bargeIns: [] });
  });

  it('A turn’s latency is from the caller’s last word to the first sound, even one that comes before the pause is over', () => {
    expect(latencies(...speech(1_000, 2_000), sound(3_000))).toEqual([1_000]);
    expect(latencies(...speech(1_000, 2_000), sound(2_300))).toEqual([300]);
  });

  it('A turn has no latency when the assistant is heard all the while, or not before the caller goes on', () => {
    expect(latencies(sound(500), ...speech(1_000, 2_000), silence(2_600), sound(3_000))).toEqual([undefined]);
    expect(latencies(...speech(1_000, 2_000), ...speech(2_700, 4_000), sound(5_000))).toEqual([
      undefined,
      1_000,
    ]);
  });

  it('A turn that cuts the assistant has one', () => {
    expect(latencies(sound(500), ...speech(1_000, 2_000), cleared(1_080), sound(3_200))).toEqual([1_200]);
  });

  it.each([
    [[1_000], 1_000],
    [[1_000, 3_000], 2_000],
    [[9_000, 1_000, 2_000], 2_000],
  ])('Of latencies of %j ms the median is %i', (all, median) => {
    const events = all.flatMap((ms, i) => [
      ...speech(20_000 * i, 20_000 * i + 1_000),
      sound(20_000 * i + 1_000 + ms),
      silence(20_000 * i + 12_000),
    ]);
    expect(reportOf(events.sort((a, b) => a.at - b.at)).medianMs).toBe(median);
  });

  it('A barge-in has the server’s report of its own cut, come before or after', () => {
    const cuts = [5_010, 9_990].map((at, i) => ({ at, audioEndMs: 901 + i }));
    const { bargeIns } = reportOf([cleared(5_000), cleared(7_000), cleared(10_000)], cuts);
    expect(bargeIns).toEqual([
      { at: 5_000, heardMs: 900, unheardMs: 2_000, reportedMs: 901 },
      { at: 7_000, heardMs: 900, unheardMs: 2_000 },
      { at: 10_000, heardMs: 900, unheardMs: 2_000, reportedMs: 902 },
    ]);
  });
});
