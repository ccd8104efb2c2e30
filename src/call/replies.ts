import { type Failure, retryAfterMs, verdict } from '../failure.ts';
import type { ResponseDone } from '../wire/openai.ts';
import { type Effect, toOpenAI } from './effect.ts';

/** How long the caller may wait to hear something, in ms. */
const MAX_WAIT_MS = 15_000;
/** How long the caller may speak without a pause that OpenAI hears, in ms: noise has no pauses. */
const MAX_SPEECH_MS = 180_000;
/** How many interrupted responses are remembered: late audio can only come for the last few. */
const MAX_INTERRUPTED = 100;

/** OpenAI's responses: which is the latest, which were interrupted or failed, and who waits for one. Nobody else asks for any. */
export class Replies {
  /** For the log alone: how many were asked for once more. */
  retries = 0;
  readonly #greets: boolean;
  readonly #interrupted = new Set<string>();
  /** Whether it is being generated, playing, or over. */
  #latest: string | undefined;
  /** Whether the one before failed, and was not interrupted. */
  #hasFailed = false;
  /** When a response that failed is asked for once more. */
  #retryAt: number | undefined;
  /** Since when the caller has been waiting: for a reply, for any sound, or for the rest of a response. */
  #waiting: { since: number; what: 'reply' | 'sound' | 'rest' } | undefined;
  #speakingSince: number | undefined;

  /** Unless the assistant `greets`, the caller speaks first. */
  constructor(greets: boolean) {
    this.#greets = greets;
  }

  /** Has the assistant greet, or go on where the session had to be replaced. */
  sessionReady(now: number): Effect[] {
    return this.#greets ? this.#ask(now) : [];
  }

  created(responseId: string): void {
    this.#latest = responseId;
  }

  isInterrupted(responseId: string): boolean {
    return this.#interrupted.has(responseId);
  }

  /** Notes audio that is passed on; returns how long the caller waited for it, in ms, if it begins a reply. */
  heard(responseId: string, now: number): number | undefined {
    const waited = this.#waiting?.what === 'reply' ? now - this.#waiting.since : undefined;
    this.#latest = responseId;
    this.#waiting = { since: now, what: 'rest' };
    return waited;
  }

  /** Interrupts whatever is being said: OpenAI does the same, as the session asks it to. */
  speechStarted(now: number): void {
    this.#speakingSince = now;
    this.#waiting = undefined;
    this.#retryAt = undefined;
    this.#hasFailed = false;
    if (this.#latest === undefined) return;
    this.#interrupted.add(this.#latest);
    const [oldest] = this.#interrupted;
    if (oldest !== undefined && this.#interrupted.size > MAX_INTERRUPTED) this.#interrupted.delete(oldest);
  }

  speechStopped(now: number): void {
    this.#speakingSince = undefined;
    this.#waiting = { since: now, what: 'reply' };
  }

  /** The caller was given silence to end the turn, so that a reply should come. */
  muted(now: number): void {
    this.#waiting ??= { since: now, what: 'sound' };
  }

  /** Asks once more for a response that failed, unless it was the second in a row, or a retry is pointless. */
  done({ id, status, error }: ResponseDone, now: number): Effect[] {
    if (status !== 'failed') {
      this.#hasFailed = false;
      if (id === this.#latest && this.#waiting?.what === 'rest') this.#waiting = undefined;
      return [];
    }
    const failure: Failure = { reason: 'response failed', error };
    if (verdict(failure) !== 'again') return [{ end: failure.reason, error }];
    // The caller has moved on: the next turn is answered anyway.
    if (this.#interrupted.has(id) || this.#speakingSince !== undefined) return [];
    if (this.#hasFailed) return [{ end: failure.reason, error }];
    this.#hasFailed = true;
    this.#waiting ??= { since: now, what: 'sound' };
    this.#retryAt = now + retryAfterMs(failure);
    return this.#retry(now);
  }

  /** Asks for what is due, and ends the call of a caller who has waited for too long. */
  tick(now: number): Effect[] {
    const isHeld = this.#speakingSince !== undefined && now - this.#speakingSince >= MAX_SPEECH_MS;
    const isOverdue = this.#waiting !== undefined && now - this.#waiting.since >= MAX_WAIT_MS;
    if (isHeld || isOverdue) return [{ end: 'no reply' }];
    return this.#retry(now);
  }

  #retry(now: number): Effect[] {
    if (this.#retryAt === undefined || now < this.#retryAt) return [];
    this.retries += 1;
    return this.#ask(now);
  }

  #ask(now: number): Effect[] {
    this.#retryAt = undefined;
    this.#waiting ??= { since: now, what: 'sound' };
    return [toOpenAI({ type: 'response.create' })];
  }
}
