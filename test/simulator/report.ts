import type { CallerEvent } from './caller.ts';
import { only, timeToFirstSound } from './narrator.ts';

/** Times are in ms, since the call was placed. */
export interface CallReport {
  /** From the stream's start; undefined if nothing was heard. */
  firstSoundMs?: number;
  turns: Turn[];
  /** The median of the turns' latencies. */
  medianMs?: number;
  bargeIns: BargeIn[];
}

/** The caller's turn; `latencyMs` is from its end to the first sound, if that came before the next turn. */
export interface Turn {
  endedAt: number;
  speechMs: number;
  latencyMs?: number;
}

/** A cut of the assistant; `reportedMs` is how much was heard by the server's own report, if that is seen. */
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

/** The most that a cut and its report are apart, in ms: they come over two sockets. */
const APART_MS = 300;

/** Measures a call by its events; `cuts` are the server's reports, if they are seen. */
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
