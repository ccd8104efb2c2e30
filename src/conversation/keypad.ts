/** How long after the last key the caller is taken to have finished, in ms. */
const PAUSE_MS = 1_500;
const MAX_DIGITS = 32;
/** Numbers that are told to the model within a minute: each costs a response. */
const MAX_A_MINUTE = 20;

/** The keys that the caller presses, collected until they make a number, and told to the model then. */
export class Keypad {
  #digits = '';
  #lastAt = 0;
  readonly #toldAt: number[] = [];

  /** Whether keys are still to be told to the model. */
  get isCollecting(): boolean {
    return this.#digits !== '';
  }

  press(digit: string, now: number): void {
    this.#lastAt = now;
    if (this.#digits.length < MAX_DIGITS) this.#digits += digit;
  }

  /** Takes what to tell the model, once that is complete or the caller has paused; it waits for the session. */
  take(isSessionReady: boolean, now: number): string | undefined {
    // The clock goes back by a stall once that is noticed.
    this.#lastAt = Math.min(this.#lastAt, now);
    if (!isSessionReady || !this.isCollecting) return undefined;
    const isComplete = this.#digits.endsWith('#') || this.#digits.length === MAX_DIGITS;
    if (!isComplete && now - this.#lastAt < PAUSE_MS) return undefined;
    if (now - (this.#toldAt.at(-MAX_A_MINUTE) ?? Number.NEGATIVE_INFINITY) < 60_000) return undefined;
    this.#toldAt.splice(0, this.#toldAt.length - MAX_A_MINUTE + 1);
    this.#toldAt.push(now);
    // A `#` ends the number before it.
    const digits = this.#digits.replace(/(?<=[^#])#$/, '');
    this.#digits = '';
    return digits;
  }
}
