import type { Outcome } from './failure.ts';

/** For how long an outcome is kept, in ms, for Twilio to ask what to tell the caller. */
const OUTCOME_MS = 60_000;
/** How soon Twilio asks, in ms, if it asks at all. */
const ASKED_MS = 2_000;

/** The calls of this process: which are live, how the last ones ended, and whether there is room for more. */
export class Calls {
  readonly #max: number;
  readonly #live = new Set<string>();
  /** By CallSid, the oldest first; `at` is a monotonic time in ms. */
  readonly #ended = new Map<string, { outcome: Outcome; at: number; wasAsked: boolean }>();
  #isClosing = false;
  #onEnd: () => void = () => {};

  /** At most `max` calls are live at a time. */
  constructor(max: number) {
    this.#max = max;
  }

  get live(): number {
    return this.#live.size;
  }

  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** Whether no further call is taken. */
  get isBusy(): boolean {
    return this.#isClosing || this.#live.size >= this.#max;
  }

  /** Whether Twilio is about to ask what to tell the caller of a call that has just failed. */
  get isAwaitingTwilio(): boolean {
    const now = performance.now();
    return [...this.#ended.values()].some(
      ({ outcome, at, wasAsked }) => outcome !== 'completed' && !wasAsked && now - at < ASKED_MS,
    );
  }

  isLive(callSid: string): boolean {
    return this.#live.has(callSid);
  }

  begin(callSid: string): void {
    this.forget(callSid);
    this.#live.add(callSid);
  }

  /** Forgets how the call's last stream ended. */
  forget(callSid: string): void {
    this.#ended.delete(callSid);
  }

  /** Frees the call's place. */
  end(callSid: string, outcome: Outcome): void {
    const now = performance.now();
    this.#live.delete(callSid);
    for (const [sid, { at }] of this.#ended) {
      if (at + OUTCOME_MS > now) break;
      this.#ended.delete(sid);
    }
    this.#ended.delete(callSid);
    this.#ended.set(callSid, { outcome, at: now, wasAsked: false });
    this.#onEnd();
  }

  /** How a call ended, asked on Twilio's behalf; `failed` if this process doesn't know it. */
  outcome(callSid: string | undefined): Outcome {
    const ended = callSid === undefined ? undefined : this.#ended.get(callSid);
    if (ended) ended.wasAsked = true;
    return ended?.outcome ?? 'failed';
  }

  /** Takes no more calls; resolves when none is live. */
  async close(): Promise<void> {
    this.#isClosing = true;
    if (this.#live.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onEnd = () => {
        if (this.#live.size === 0) resolve();
      };
    });
  }
}
