import { audioMs, silence } from '../wire/audio.ts';
import { type Effect, toOpenAI } from './effect.ts';
import { TurnAudio } from './turn-audio.ts';

/** The longest gap in the caller's audio that is filled, in ms. */
const MAX_GAP_MS = 10_000;
/** A stream's audio may be so far ahead of the time since its start, in ms: stalls of the process are no part of that. */
const MAX_AHEAD_MS = 10_000;
/** A timestamp that jumps ahead of the clock by more, in ms, starts anew: a stall of 5 s is caught up with by less. */
const MAX_JUMP_MS = 6_000;
/** Time for the stream's first frames, in ms: one that is ahead of the time says that those before it were late. */
const FIRST_FRAMES_MS = 1_000;
/** A caller is muted if no frame comes for so long in mid-sentence, in ms. */
const MUTED_AFTER_MS = 750;

/** The caller's audio on its way to OpenAI, with silence in its gaps, and the stream's clock. */
export class Caller {
  readonly #counts = { framesUp: 0, gapsFilled: 0 };
  readonly turn = new TurnAudio();
  /** Whether a session takes audio. */
  isSessionReady = false;
  /** What to add to the process's clock, `now` in ms, to get the stream's. */
  #offset = 0;
  /** What to add to a timestamp to get the stream's clock: timestamps may start late, or anew. */
  #origin = 0;
  /** The last frame's timestamp and length. */
  #timestamp: number | undefined;
  #frameMs = 0;
  /** Whether silence for the end of a turn follows the last frame. */
  #isTurnEnded = false;
  readonly #turnEndMs: number;
  /** When the stream began, and how much audio its timestamps have claimed since, in ms. */
  #began = 0;
  #audioMs = 0;

  /** `turnEndMs` is how much silence ends a turn at the latest. */
  constructor(turnEndMs: number) {
    this.#turnEndMs = turnEndMs;
  }

  streamStarted(now: number): void {
    this.#began = now;
    this.#offset = -now;
  }

  /** Ms since the stream began: the last timestamp and the time that has passed since it came. */
  clock(now: number): number {
    return now + this.#offset;
  }

  /** Passes a frame on, after silence for what is missing before it. */
  frame(
    { timestamp, payload }: { timestamp: number; payload: string },
    isCallerSpeaking: boolean,
    now: number,
  ): Effect[] {
    const ms = audioMs(payload);
    if (ms === 0) return [];
    // Whatever its timestamps claim, a stream has no more audio than time.
    const room = MAX_AHEAD_MS + now - this.#began - this.#audioMs - ms;
    const gap = Math.floor(Math.min(this.#advance(timestamp, ms, now), room, MAX_GAP_MS));
    this.#counts.framesUp += 1;
    const filled = gap > 0 ? this.#fill(gap, isCallerSpeaking) : [];
    this.#audioMs += Math.max(0, gap) + ms;
    return [...filled, ...this.#append(payload, ms, isCallerSpeaking)];
  }

  /** What the log has of the caller's audio. */
  get counts() {
    return { ...this.#counts, earlyFramesDropped: this.turn.dropped };
  }

  /** A session takes audio from now on; returns what no reply has answered yet. */
  sessionReady(): Effect[] {
    this.isSessionReady = true;
    return this.turn.frames.map((audio) => toOpenAI({ type: 'input_audio_buffer.append', audio }));
  }

  /** Another session will be ready: the caller's audio waits for it. */
  sessionLost(): void {
    this.isSessionReady = false;
    this.turn.keepPreRoll();
  }

  /** Ends the turn of a caller who was muted in mid-sentence. */
  tick(isCallerSpeaking: boolean, now: number): Effect[] {
    if (!isCallerSpeaking || this.#isTurnEnded || this.#timestamp === undefined) return [];
    const quietMs = this.clock(now) - this.#origin - this.#timestamp;
    if (quietMs < MUTED_AFTER_MS) return [];
    this.#isTurnEnded = true;
    return this.#fill(this.#turnEndMs, true);
  }

  #fill(ms: number, isCallerSpeaking: boolean): Effect[] {
    this.#counts.gapsFilled += 1;
    return this.#append(silence(ms), ms, isCallerSpeaking);
  }

  #append(audio: string, ms: number, isCallerSpeaking: boolean): Effect[] {
    this.turn.add(audio, ms, isCallerSpeaking || !this.isSessionReady);
    return this.isSessionReady ? [toOpenAI({ type: 'input_audio_buffer.append', audio })] : [];
  }

  /** Sets the clock by a frame of `ms`; returns how many ms are missing between it and the audio before it. */
  #advance(timestamp: number, ms: number, now: number): number {
    const clock = this.clock(now);
    // The clock never goes back, or audio that has been sent would begin anew.
    const isAhead = timestamp + this.#origin - clock > MAX_JUMP_MS;
    const restarted = isAhead || timestamp < (this.#timestamp ?? clock);
    const missing = restarted ? 0 : this.#missingBefore(timestamp);
    if (restarted) this.#origin = clock - timestamp;
    const passedMs = now - this.#began;
    if (passedMs < FIRST_FRAMES_MS) this.#origin = Math.min(this.#origin, passedMs - timestamp);
    this.#offset = this.#origin + timestamp - now;
    this.#timestamp = timestamp;
    this.#frameMs = ms;
    this.#isTurnEnded = false;
    return missing;
  }

  /** Timestamps may be rounded: less than a frame isn't a frame that is missing. */
  #missingBefore(timestamp: number): number {
    if (this.#timestamp === undefined) return 0;
    const filledMs = this.#isTurnEnded ? this.#turnEndMs : 0;
    const missing = timestamp - (this.#timestamp + this.#frameMs + filledMs);
    return missing > 0 && missing >= this.#frameMs ? missing : 0;
  }
}
