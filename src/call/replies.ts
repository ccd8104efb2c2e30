import { type Failure, verdict } from '../failure.ts';
import type { ResponseDone } from '../wire/openai.ts';
import { type Effect, toOpenAI } from './effect.ts';

/** How long the caller may wait to hear something, in ms. */
const MAX_WAIT_MS = 15_000;
/** How many interrupted responses are remembered: late audio can only come for the last few. */
const MAX_INTERRUPTED = 100;

/** OpenAI's responses: which is the latest, which were interrupted or failed, and who waits for one. Nobody else asks for any. */
export class Replies {
  /** For the log alone: how many were asked for once more. */
  retries = 0;
  readonly #greeting: string;
  readonly #interrupted = new Set<string>();
  /** Whether it is being generated, playing, or over. */
  #latest: string | undefined;
  #hasLatestFailed = false;
  /** Whether neither side has said anything yet. */
  #isOpening: boolean;
  /** Since when the caller has been waiting to hear something: a reply, or the greeting. */
  #waiting: { since: number; forReply: boolean } | undefined;

  /** `greeting` tells the assistant how to open the call; if it is empty, the caller speaks first. */
  constructor(greeting: string) {
    this.#greeting = greeting;
    this.#isOpening = greeting !== '';
  }

  /** Has the assistant greet, or go on where the session had to be replaced. */
  sessionReady(now: number): Effect[] {
    return this.#greeting === '' ? [] : [this.#ask(now)];
  }

  created(responseId: string): void {
    this.#latest = responseId;
  }

  isInterrupted(responseId: string): boolean {
    return this.#interrupted.has(responseId);
  }

  /** Notes audio that is passed on; returns how long the caller waited for it, in ms, if it begins a reply. */
  heard(responseId: string, now: number): number | undefined {
    const waited = this.#waiting?.forReply ? now - this.#waiting.since : undefined;
    this.#latest = responseId;
    this.#isOpening = false;
    this.#waiting = undefined;
    return waited;
  }

  /** Interrupts whatever is being said: OpenAI does the same, as the session asks it to. */
  speechStarted(): void {
    this.#waiting = undefined;
    if (this.#latest === undefined) return;
    this.#interrupted.add(this.#latest);
    const [oldest] = this.#interrupted;
    if (oldest !== undefined && this.#interrupted.size > MAX_INTERRUPTED) this.#interrupted.delete(oldest);
  }

  speechStopped(now: number): void {
    this.#isOpening = false;
    this.#waiting = { since: now, forReply: true };
  }

  /** Asks once more for a response that failed, unless it was the second in a row or that would be in vain. */
  done({ id, status, error }: ResponseDone, now: number): Effect[] {
    const failedBefore = this.#hasLatestFailed;
    this.#hasLatestFailed = status === 'failed';
    if (status !== 'failed') return [];
    const failure: Failure = { reason: 'response failed', error };
    if (failedBefore || verdict(failure) !== 'again') return [{ end: failure.reason, error }];
    // The caller has moved on: the next turn is answered anyway.
    if (this.#interrupted.has(id)) return [];
    this.retries += 1;
    return [this.#ask(now)];
  }

  /** Ends the call of a caller who has waited for too long. */
  tick(now: number): Effect[] {
    const isOverdue = this.#waiting !== undefined && now - this.#waiting.since >= MAX_WAIT_MS;
    return isOverdue ? [{ end: 'no reply' }] : [];
  }

  #ask(now: number): Effect {
    this.#waiting ??= { since: now, forReply: false };
    const response = this.#isOpening ? { response: { instructions: this.#greeting } } : {};
    return toOpenAI({ type: 'response.create', ...response });
  }
}
