import { audioMs, silence } from '../wire/audio.ts';
import { type Effect, toOpenAI } from './effect.ts';

/** How much of what the caller says before the session is ready is kept, in ms and in frames, which may be tiny. */
const MAX_EARLY_MS = 10_000;
const MAX_EARLY_FRAMES = 1_000;
/** How much of a gap in the caller's audio is filled, in ms. */
const MAX_GAP_MS = 10_000;
/** By how much a stream's audio may be ahead of the time that has passed since its start came, in ms. */
const MAX_AHEAD_MS = 1_000;
/** A caller from whom nothing comes in mid-sentence is muted after this long, in ms. */
const MUTED_AFTER_MS = 750;

/** The caller's audio on its way up: kept while it is early, with silence where some is missing; and the stream's clock. */
export class Caller {
  /** For the log alone. */
  readonly counts = { framesUp: 0, earlyFramesDropped: 0, gapsFilled: 0 };
  /** What was said before the session was ready; undefined once it is, as nothing waits then. */
  #early: { audio: string; ms: number }[] | undefined = [];
  #earlyMs = 0;
  /** What to add to the process's clock to get the stream's. */
  #offset: number;
  /** What to add to a timestamp to get the stream's clock: timestamps may start late, or anew. */
  #origin = 0;
  /** The last frame's timestamp and length, and where the audio ends: there, or later where silence was added. */
  #timestamp: number | undefined;
  #frameMs = 0;
  #audioEnds = 0;
  /** Whether silence for the end of a turn follows the last frame. */
  #isTurnEnded = false;
  readonly #turnEndMs: number;
  /** When the stream began, and how much audio its timestamps have claimed since, in ms. */
  #began: number;
  #audioMs = 0;

  /**
   * `turnEndMs` is how much silence ends a turn at the latest; `now`, here and below, the process's monotonic clock in ms.
   */
  constructor(turnEndMs: number, now: number) {
    this.#turnEndMs = turnEndMs;
    this.#began = now;
    this.#offset = -now;
  }

  /** The stream begins only now: there was no audio before it. */
  streamStarted(now: number): void {
    this.#began = now;
    this.#offset = -now;
  }

  /** Ms since the stream began: the last timestamp and the time that has passed since it came. */
  clock(now: number): number {
    return now + this.#offset;
  }

  /** Passes a frame on, after silence for what is missing before it. */
  frame({ timestamp, payload }: { timestamp: number; payload: string }, now: number): Effect[] {
    const ms = audioMs(payload);
    if (ms === 0) return [];
    // Whatever its timestamps claim, a stream has no more audio than time.
    const room = MAX_AHEAD_MS + now - this.#began - this.#audioMs - ms;
    const gap = Math.floor(Math.min(this.#advance(timestamp, ms, now), room, MAX_GAP_MS));
    this.counts.framesUp += 1;
    const filled = gap > 0 ? this.#fill(gap) : [];
    this.#audioMs += Math.max(0, gap) + ms;
    return [...filled, ...this.#append(payload, ms)];
  }

  get isSessionReady(): boolean {
    return this.#early === undefined;
  }

  /** The session takes audio from now on; returns what waited for it. */
  sessionReady(): Effect[] {
    const early = this.#early ?? [];
    this.#early = undefined;
    this.#earlyMs = 0;
    return early.map(({ audio }) => toOpenAI({ type: 'input_audio_buffer.append', audio }));
  }

  /** Another session will be ready: the caller's audio waits for it. */
  sessionLost(): void {
    this.#early ??= [];
  }

  /** Ends the turn of a caller who was muted in mid-sentence. */
  tick(isCallerSpeaking: boolean, now: number): Effect[] {
    if (!isCallerSpeaking || this.#isTurnEnded || this.#timestamp === undefined) return [];
    const quietMs = this.clock(now) - this.#origin - this.#timestamp;
    if (quietMs < MUTED_AFTER_MS) return [];
    this.#isTurnEnded = true;
    this.#audioEnds += this.#turnEndMs;
    return this.#fill(this.#turnEndMs);
  }

  #fill(ms: number): Effect[] {
    this.counts.gapsFilled += 1;
    return this.#append(silence(ms), ms);
  }

  #append(audio: string, ms: number): Effect[] {
    if (this.#early === undefined) return [toOpenAI({ type: 'input_audio_buffer.append', audio })];
    this.#early.push({ audio, ms });
    this.#earlyMs += ms;
    while (this.#earlyMs > MAX_EARLY_MS || this.#early.length > MAX_EARLY_FRAMES) {
      this.#earlyMs -= this.#early.shift()?.ms ?? this.#earlyMs;
      this.counts.earlyFramesDropped += 1;
    }
    return [];
  }

  /** Sets the clock by a frame of `ms`; returns how many ms are missing between it and the audio before it. */
  #advance(timestamp: number, ms: number, now: number): number {
    const clock = this.clock(now);
    // The clock never goes back, or audio that has been sent would begin anew.
    const restarted = timestamp < (this.#timestamp ?? clock);
    const missing = this.#timestamp === undefined || restarted ? 0 : this.#missingBefore(timestamp);
    if (restarted) this.#origin = clock - timestamp;
    this.#offset = this.#origin + timestamp - now;
    this.#timestamp = timestamp;
    this.#frameMs = ms;
    this.#audioEnds = timestamp + ms;
    this.#isTurnEnded = false;
    return missing;
  }

  /** Timestamps may be rounded: less than a frame isn't a frame that is missing. */
  #missingBefore(timestamp: number): number {
    const missing = timestamp - this.#audioEnds;
    return missing > 0 && missing >= this.#frameMs ? missing : 0;
  }
}
