import type { CallerEvent } from './caller.ts';
import { only, timeToFirstSound } from './narrator.ts';

/** Times are in ms; those of when something happened are since the call was placed. */
export interface CallReport {
  /** From the stream's start; undefined if nothing was heard. */
  firstSoundMs?: number;
  turns: Turn[];
  /** The median of the turns' latencies. */
  medianMs?: number;
  bargeIns: BargeIn[];
}

/** What the caller said on end; `latencyMs` is from there to the first sound, if one came before the caller's next words. */
export interface Turn {
  endedAt: number;
  speechMs: number;
  latencyMs?: number;
}

/** Where the assistant was cut: after how much that was heard, and, if it is known, after how much by the server's report. */
export interface BargeIn {
  at: number;
  heardMs: number;
  unheardMs: number;
  reportedMs?: number;
}

/** A truncation that the server reported, `at` ms after the call was placed. */
export interface Cut {
  at: number;
  audioEndMs: number;
}

/** The cut and its report come over two sockets, in either order; this is far more than they are apart, in ms. */
const APART_MS = 300;

/** What a call's events say of how well it went; `cuts` are the server's reports, where those are seen. */
export function reportOf(events: CallerEvent[], cuts: Cut[] = []): CallReport {
  const turns = only(events, 'speech-stopped').map(({ at, agoMs, speechMs }) => {
    const endedAt = at - agoMs;
    return { endedAt, speechMs, ...latencyFrom(events, endedAt) };
  });
  const latencies = turns.flatMap(({ latencyMs }) => latencyMs ?? []).sort((a, b) => a - b);
  const middle = latencies.slice((latencies.length - 1) >> 1, (latencies.length >> 1) + 1);
  const firstSoundMs = timeToFirstSound(events);
  return {
    ...(!Number.isNaN(firstSoundMs) && { firstSoundMs }),
    turns,
    ...(middle.length > 0 && { medianMs: middle.reduce((sum, ms) => sum + ms, 0) / middle.length }),
    bargeIns: only(events, 'cleared').map(({ at, heardMs, unheardMs }) => {
      const cut = cuts.find((reported) => Math.abs(reported.at - at) < APART_MS);
      return { at, heardMs, unheardMs, ...(cut && { reportedMs: cut.audioEndMs }) };
    }),
  };
}

function latencyFrom(events: CallerEvent[], endedAt: number): { latencyMs?: number } {
  const sounds = events.filter(
    ({ type }) => type === 'first-sound' || type === 'silence' || type === 'cleared',
  );
  if (sounds.findLast(({ at }) => at < endedAt)?.type === 'first-sound') return {};
  const next = only(events, 'speech-started').find(({ at, agoMs }) => at - agoMs > endedAt);
  const sound = only(events, 'first-sound').find(({ at }) => at >= endedAt);
  if (sound === undefined || (next !== undefined && next.at - next.agoMs < sound.at)) return {};
  return { latencyMs: sound.at - endedAt };
}
