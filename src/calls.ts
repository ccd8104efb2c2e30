import { setTimeout as pause } from 'node:timers/promises';
import type { Outcome } from './ending.ts';

/** For how long an outcome is kept, in ms, for Twilio to ask what to tell the caller. */
const OUTCOME_MS = 60_000;
/** How soon Twilio asks, in ms, if it asks at all. */
const ASKED_MS = 2_000;

/** A stream that is open, whether its call has started or not, or whose end is still to be logged. */
export interface Stream {
  /** Looks at the time. */
  tick(): void;
  shutDown(): void;
}

/** How often every stream looks at the time, in ms: one timer for all wakes the process less than one for each. */
const TICK_MS = 250;

/** The calls of this process: which are live, how the last ones ended, and whether there is room for more. */
export class Calls {
  readonly #most: number;
  readonly #streams = new Set<Stream>();
  readonly #live = new Set<string>();
  /** By CallSid, the oldest first; `at` is a monotonic time in ms. */
  readonly #outcomes = new Map<string, { outcome: Outcome; at: number; asked: boolean }>();
  #ticker: NodeJS.Timeout | undefined;
  #isClosing = false;
  #onChange: () => void = () => {};

  /** At most `most` calls are live at a time. */
  constructor(most: number) {
    this.#most = most;
  }

  get live(): number {
    return this.#live.size;
  }

  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** Whether no further call is taken. */
  get isBusy(): boolean {
    return this.#isClosing || this.#live.size >= this.#most;
  }

  opened(stream: Stream): void {
    this.#streams.add(stream);
    this.#ticker ??= setInterval(() => this.#tick(), TICK_MS);
  }

  closed(stream: Stream): void {
    this.#streams.delete(stream);
    if (this.#streams.size === 0) {
      clearInterval(this.#ticker);
      this.#ticker = undefined;
    }
    this.#onChange();
  }

  #tick(): void {
    for (const stream of this.#streams) stream.tick();
  }

  isLive(callSid: string): boolean {
    return this.#live.has(callSid);
  }

  begin(callSid: string): void {
    this.#live.add(callSid);
  }

  /** Frees the call's place. */
  end(callSid: string, outcome: Outcome): void {
    const now = performance.now();
    this.#live.delete(callSid);
    for (const [sid, { at }] of this.#outcomes) {
      if (at + OUTCOME_MS > now) break;
      this.#outcomes.delete(sid);
    }
    this.#outcomes.delete(callSid);
    this.#outcomes.set(callSid, { outcome, at: now, asked: false });
    this.#onChange();
  }

  /** How a call ended; `failed` if this process doesn't know it. */
  outcome(callSid: string | undefined): Outcome {
    const ended = callSid === undefined ? undefined : this.#outcomes.get(callSid);
    if (ended) ended.asked = true;
    return ended?.outcome ?? 'failed';
  }

  /**
   * Takes no more calls, gives the live ones `graceMs` to end, then ends those that didn't. Resolves when all
   * streams are closed and logged, and their callers have been told.
   */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    await Promise.race([this.#until(() => this.#live.size === 0), pause(graceMs, undefined, { ref: false })]);
    for (const stream of this.#streams) stream.shutDown();
    await this.#until(() => this.#streams.size === 0);
    if (this.#isAwaited()) await pause(ASKED_MS);
  }

  /** Whether Twilio is about to ask what to tell the caller of a call that has just failed. */
  #isAwaited(): boolean {
    const now = performance.now();
    return [...this.#outcomes.values()].some(
      ({ outcome, at, asked }) => outcome !== 'completed' && !asked && now - at < ASKED_MS,
    );
  }

  #until(isSo: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#onChange = () => {
        if (isSo()) resolve();
      };
      this.#onChange();
    });
  }
}
