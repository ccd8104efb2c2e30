import { type Effect, textMessage } from './effect.ts';

/** How long after the last key the caller is taken to have finished, in ms. */
const PAUSE_MS = 1_500;
const MAX_DIGITS = 32;

/** The keys that the caller presses, collected until they make a number, and told to the model then. */
export class Keypad {
  /** For the log alone: how many, never which. */
  pressed = 0;
  #digits = '';
  #isComplete = false;
  #lastAt = 0;

  /** Whether a number begins with this key: a `#` alone is none. */
  begins(digit: string): boolean {
    return this.#digits === '' && digit !== '#';
  }

  /** Whether keys are still to be told to the model. */
  get isCollecting(): boolean {
    return this.#digits !== '';
  }

  /** Notes a key. A `#` ends the number, and isn't part of it. */
  press(digit: string, now: number): void {
    this.pressed += 1;
    this.#lastAt = now;
    if (digit !== '#' && this.#digits.length < MAX_DIGITS) this.#digits += digit;
    this.#isComplete = this.isCollecting && (digit === '#' || this.#digits.length === MAX_DIGITS);
  }

  /** Takes what to tell the model, once that is complete or the caller has paused; it waits for the session. */
  take(isSessionReady: boolean, now: number): Effect[] {
    if (!isSessionReady || !this.isCollecting) return [];
    if (!this.#isComplete && now - this.#lastAt < PAUSE_MS) return [];
    const digits = this.#digits;
    this.#digits = '';
    this.#isComplete = false;
    return [textMessage('user', `(The caller pressed ${[...digits].join(' ')} on the keypad.)`)];
  }
}
