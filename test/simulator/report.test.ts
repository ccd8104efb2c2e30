import { describe, expect, it } from 'vitest';
import type { CallerEvent } from './caller.ts';
import { reportOf } from './report.ts';

const opened: CallerEvent = { type: 'stream-started', streamSid: 'MZ1', at: 100 };
const sound = (at: number): CallerEvent => ({ type: 'first-sound', at });
const silence = (at: number): CallerEvent => ({ type: 'silence', at });
const cleared = (at: number): CallerEvent => ({ type: 'cleared', at, heardMs: 900, unheardMs: 2_000 });

/** The caller speaking from one time to another, as it is reported. */
function speech(from: number, to: number): CallerEvent[] {
  return [
    { type: 'speech-started', at: from + 60, agoMs: 60, isOverAssistant: false },
    { type: 'speech-stopped', at: to + 500, agoMs: 500, speechMs: to - from },
  ];
}

describe('reportOf', () => {
  it('times the first sound from the stream’s start', () => {
    expect(reportOf([opened, sound(450)]).firstSoundMs).toBe(350);
    expect(reportOf([opened])).toEqual({ turns: [], bargeIns: [] });
  });

  it.each<[string, CallerEvent[], (number | undefined)[]]>([
    ['the last word to the first sound', [sound(3_000)], [1_000]],
    ['the last word, before the pause is over', [sound(2_300)], [300]],
    ['a turn that cuts the assistant', [sound(500), cleared(1_080), sound(3_200)], [1_200]],
    ['no turn that the assistant talks through', [sound(500), silence(2_600), sound(3_000)], [undefined]],
    ['no turn that the caller resumes', [...speech(2_700, 4_000), sound(5_000)], [undefined, 1_000]],
  ])('measures latency from %s', (_, events, latencies) => {
    const inOrder = [...speech(1_000, 2_000), ...events].sort((a, b) => a.at - b.at);
    expect(reportOf(inOrder).turns.map(({ latencyMs }) => latencyMs)).toEqual(latencies);
  });

  it.each([
    [[1_000], 1_000],
    [[1_000, 3_000], 2_000],
    [[9_000, 1_000, 2_000], 2_000],
  ])('has of latencies of %j ms the median %i', (all, median) => {
    const events = all.flatMap((ms, i) => {
      const began = 20_000 * i;
      return [...speech(began, began + 1_000), sound(began + 1_000 + ms), silence(began + 12_000)];
    });
    expect(reportOf(events.sort((a, b) => a.at - b.at)).medianMs).toBe(median);
  });

  it('has the server’s own report of a barge-in, come before or after', () => {
    const cuts = [5_010, 9_990].map((at, i) => ({ at, audioEndMs: 901 + i }));
    const { bargeIns } = reportOf([cleared(5_000), cleared(7_000), cleared(10_000)], cuts);
    expect(bargeIns.map(({ reportedMs }) => reportedMs)).toEqual([901, undefined, 902]);
    expect(bargeIns[1]).toEqual({ at: 7_000, heardMs: 900, unheardMs: 2_000 });
  });
});
