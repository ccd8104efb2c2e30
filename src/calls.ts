import { setTimeout as pause } from 'node:timers/promises';

/** How a call's stream ended, as far as its caller should hear of it. */
export type Outcome = 'completed' | 'failed' | 'time limit';

/** For how long an outcome is kept, in ms: Twilio asks for it at once, if at all. */
const OUTCOME_MS = 60_000;

/** An open stream, whether its call is live yet or not. */
export interface Stream {
  shutDown(): void;
}

/** The calls of this process: which are live, how the last ones ended, and whether there is room for more. */
export class Calls {
  readonly #most: number;
  readonly #streams = new Set<Stream>();
  readonly #live = new Set<string>();
  /** By CallSid, the oldest first. */
  readonly #outcomes = new Map<string, { outcome: Outcome; at: number }>();
  #isClosing = false;
  #whenNoneLive: () => void = () => {};

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

  get isBusy(): boolean {
    return this.isClosing || this.#live.size >= this.#most;
  }

  opened(stream: Stream): void {
    this.#streams.add(stream);
  }

  closed(stream: Stream): void {
    this.#streams.delete(stream);
  }

  isLive(callSid: string): boolean {
    return this.#live.has(callSid);
  }

  begin(callSid: string): void {
    this.#live.add(callSid);
  }

  /** Frees the call's place; `now` is a monotonic time in ms. */
  end(callSid: string, outcome: Outcome, now: number): void {
    this.#live.delete(callSid);
    for (const [sid, { at }] of this.#outcomes) {
      if (at + OUTCOME_MS > now) break;
      this.#outcomes.delete(sid);
    }
    this.#outcomes.delete(callSid);
    this.#outcomes.set(callSid, { outcome, at: now });
    if (this.#live.size === 0) this.#whenNoneLive();
  }

  /** How a call ended; `failed` if this process doesn't know it. */
  outcome(callSid: unknown): Outcome {
    return (typeof callSid === 'string' && this.#outcomes.get(callSid)?.outcome) || 'failed';
  }

  /** Takes no more calls, gives the live ones `graceMs` to end, and ends those that didn't; answers how many. */
  async close(graceMs: number): Promise<number> {
    this.#isClosing = true;
    if (this.#live.size > 0) {
      const noneLive = new Promise<void>((resolve) => {
        this.#whenNoneLive = resolve;
      });
      await Promise.race([noneLive, pause(graceMs, undefined, { ref: false })]);
    }
    const cut = this.#live.size;
    for (const stream of this.#streams) stream.shutDown();
    return cut;
  }
}
