import { setTimeout as pause } from 'node:timers/promises';

/**
 * What Twilio is to do with a call whose stream this server has closed: hang up, after a sentence perhaps, or put the caller
 * through; undefined for one that Twilio left, of which it asks nothing.
 */
export type NextStep =
  | undefined
  | { say: string | undefined }
  | { dial: string; callerId: string | undefined };

/** For how long an outcome is kept, in ms, for Twilio to ask what to tell the caller. */
const OUTCOME_MS = 60_000;
/** How soon Twilio asks, in ms, if it asks at all. */
const ASKED_MS = 2_000;

/** The calls of this process: which are live, how the last ones ended, and whether there is room for more. */
export class Calls {
  readonly #max: number;
  readonly #live = new Set<string>();
  /** By CallSid, the oldest first; `at` is a monotonic time in ms. */
  readonly #ended = new Map<string, { next: NextStep; at: number; wasAsked: boolean }>();
  /** What is still to be done about calls that are over. */
  readonly #finishing = new Set<Promise<void>>();
  #isClosing = false;

  /** At most `max` calls are live at a time. */
  constructor(max: number) {
    this.#max = max;
  }

  get live(): number {
    return this.#live.size;
  }

  /** Whether new calls are to be asked again elsewhere. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** The process is about to stop. */
  close(): void {
    this.#isClosing = true;
  }

  /** Whether all places are taken. */
  get isBusy(): boolean {
    return this.#live.size >= this.#max;
  }

  /** Whether Twilio is about to ask how to go on with a call whose stream has just been closed. */
  get isAwaitingTwilio(): boolean {
    const now = performance.now();
    return [...this.#ended.values()].some(
      ({ next, at, wasAsked }) => next !== undefined && !wasAsked && now - at < ASKED_MS,
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
  end(callSid: string, next: NextStep): void {
    const now = performance.now();
    this.#live.delete(callSid);
    for (const [sid, { at }] of this.#ended) {
      if (at + OUTCOME_MS > now) break;
      this.#ended.delete(sid);
    }
    this.#ended.delete(callSid);
    this.#ended.set(callSid, { next, at: now, wasAsked: false });
  }

  /** What Twilio, which asks, is to do next; nothing for a call that this process doesn't know. */
  next(callSid: string | undefined): NextStep {
    const ended = callSid === undefined ? undefined : this.#ended.get(callSid);
    if (ended) ended.wasAsked = true;
    return ended?.next;
  }

  /** Notes what is still to be done about a call that is over. */
  finish(work: Promise<void>): void {
    this.#finishing.add(work);
    void work.finally(() => this.#finishing.delete(work));
  }

  /** Resolves when all that is finished, or after `maxMs`. */
  async untilFinished(maxMs: number): Promise<void> {
    await Promise.race([Promise.all(this.#finishing), pause(maxMs, undefined, { ref: false })]);
  }
}
