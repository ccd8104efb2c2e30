import { dropOldest } from '../drop-oldest.ts';
import { type Failure, retryAfterMs, verdict } from '../failure.ts';
import type { AddedItem, OpenAIError, ResponseDone } from '../wire/openai.ts';
import { type Effect, toOpenAI } from './effect.ts';
import { lost } from './lost.ts';

/** How long the caller may wait to hear something, in ms. */
const MAX_WAIT_MS = 15_000;
/** How long the caller may speak without a pause that OpenAI hears, in ms: noise has no pauses. */
const MAX_SPEECH_MS = 180_000;
/** How many interrupted responses are remembered: late audio can only come for the last few. */
const MAX_INTERRUPTED = 100;
/** How long OpenAI may take to hear that a caller is speaking who was when the session before was lost, in ms. */
const MAX_ONSET_MS = 1_000;

/**
 * OpenAI's responses: which is active, which were interrupted or failed, what is owed, and who waits. Nobody else asks for
 * any.
 *
 * What was sent up, a tool's output or the keys that were pressed, mostly *owes* a response until one is created that sees it:
 * after the item was added to the conversation. It is asked for when nothing else is going on.
 */
export class Replies {
  /** For the log alone: how many were asked for once more. */
  retries = 0;
  readonly #interrupted = new Set<string>();
  /** Whether it is being generated, playing, or over. */
  #latest: string | undefined;
  /** The last that had audio. */
  #spoken: string | undefined;
  /** The one that is being generated. */
  #active: string | undefined;
  /** Whether one was asked for and isn't created yet. */
  #isRequested = false;
  #isOwed = false;
  /** Whether it is owed since one failed. */
  #isRetry = false;
  /** When it may be asked for at the earliest. */
  #notBefore = 0;
  /** How many items that owe a response OpenAI hasn't added yet. */
  #unseen = 0;
  /** Those of them that were sent before a response was asked for: that one sees them, or they were rejected. */
  #unseenWhenAsked = 0;
  /** Whether more is owed since one was asked for; and whether the active one is that one. */
  #isMoreOwed = false;
  #isOurs = false;
  /** Whether turn detection is about to make one. */
  #isTurnAwaited = false;
  /** Whether the one before failed, and was not interrupted. */
  #hasFailed = false;
  /** Since when the caller has been waiting: for a reply, for any sound, or for the rest of a response. */
  #waiting: { since: number; what: 'reply' | 'sound' | 'rest' } | undefined;
  #speakingSince: number | undefined;

  /** Whether the assistant has nothing more to say. */
  get isIdle(): boolean {
    return this.#active === undefined && !this.#isRequested && !this.#isOwed && !this.#isTurnAwaited;
  }

  /** Whether neither side is speaking, or about to. */
  get isPause(): boolean {
    return this.isIdle && this.#speakingSince === undefined;
  }

  /** The last one that there was. */
  get latest(): string | undefined {
    return this.#latest;
  }

  /** The session was told `items` texts about the call; the assistant `speaks` first, unless the caller already does. */
  sessionReady(items: number, speaks: boolean, now: number): void {
    this.#unseen = items;
    if (speaks) this.#owe(now, this.#speakingSince === undefined ? 0 : MAX_ONSET_MS);
    this.#speakingSince = undefined;
  }

  /** The session is gone, with all that was going on in it; the caller may wait for what its successor says. */
  sessionLost(isAwaited: boolean, now: number): void {
    const interrupted = [...this.#interrupted].map(lost);
    this.#interrupted.clear();
    for (const id of interrupted) this.#interrupted.add(id);
    this.#latest = this.#latest && lost(this.#latest);
    this.#spoken = this.#spoken && lost(this.#spoken);
    this.#active = undefined;
    this.#isRequested = false;
    this.#isOwed = false;
    this.#isRetry = false;
    this.#notBefore = 0;
    this.#unseen = 0;
    this.#unseenWhenAsked = 0;
    this.#isMoreOwed = false;
    this.#isTurnAwaited = false;
    this.#hasFailed = false;
    if (isAwaited) this.#waiting ??= { since: now, what: 'sound' };
  }

  /** The caller hears what comes from now on, and has not waited for it before. */
  streamStarted(now: number): void {
    if (this.#waiting !== undefined) this.#waiting.since = now;
  }

  /** So many items were sent up, to which OpenAI should respond if one `isOwed` for them. */
  sent(items: number, isOwed: boolean, now: number): void {
    this.#unseen += items;
    if (isOwed && items > 0) this.#owe(now);
  }

  /** An item was added: if it was sent as a text, responses that are created from now on see it. */
  itemAdded({ type, text }: AddedItem): void {
    if (type !== 'function_call_output' && text === undefined) return;
    this.#unseen = Math.max(0, this.#unseen - 1);
    this.#unseenWhenAsked = Math.max(0, this.#unseenWhenAsked - 1);
  }

  created(responseId: string): void {
    this.#latest = responseId;
    this.#active = responseId;
    this.#isOurs = this.#isRequested;
    this.#isRequested = false;
    this.#isTurnAwaited = false;
    if (this.#unseen === 0) this.#isOwed = false;
  }

  /** By itself an error ends nothing: a close would follow. */
  error(error: OpenAIError): Effect[] {
    // There is a response: what is owed is asked for when that is done.
    if (error.code === 'conversation_already_has_active_response') {
      this.#isRequested = false;
      this.#isOurs = false;
    }
    return verdict({ reason: 'openai error', error }) === 'give up' ? [{ end: 'openai error', error }] : [];
  }

  isInterrupted(responseId: string): boolean {
    return this.#interrupted.has(responseId);
  }

  hasSpoken(responseId: string): boolean {
    return this.#spoken === responseId;
  }

  /** Whether a response that is over had something to say, and came to the end of it. */
  isSaid({ id, status }: ResponseDone): boolean {
    return this.hasSpoken(id) && (status === 'completed' || status === 'incomplete');
  }

  /** Notes audio that is passed on; returns how long the caller waited for it, in ms, if it begins a reply. */
  heard(responseId: string, now: number): number | undefined {
    const waited = this.#waiting?.what === 'reply' ? now - this.#waiting.since : undefined;
    this.#latest = responseId;
    this.#spoken = responseId;
    this.#waiting = { since: now, what: 'rest' };
    return waited;
  }

  /** Interrupts whatever is being said: OpenAI does the same, as the session asks it to. Nothing is owed any more. */
  speechStarted(now: number): void {
    this.#speakingSince = now;
    this.#hasFailed = false;
    this.#isRetry = false;
    this.#isOwed = false;
    this.#unseen = 0;
    this.#unseenWhenAsked = 0;
    this.interrupt();
  }

  /** Interrupts whatever is being said. */
  interrupt(): void {
    this.#waiting = undefined;
    if (this.#latest === undefined) return;
    this.#interrupted.add(this.#latest);
    dropOldest(this.#interrupted, MAX_INTERRUPTED);
  }

  /** Interrupts whatever is being said, and has OpenAI, which doesn't know why, stop generating it. */
  cancel(): Effect[] {
    this.interrupt();
    return this.#active ? [toOpenAI({ type: 'response.cancel', response_id: this.#active })] : [];
  }

  speechStopped(now: number): void {
    this.#speakingSince = undefined;
    this.#isTurnAwaited = true;
    this.#waiting = { since: now, what: 'reply' };
  }

  /** The caller was given silence to end the turn, so that a reply should come. */
  muted(now: number): void {
    this.#waiting ??= { since: now, what: 'sound' };
  }

  /** Has a response that failed asked for once more, unless it was the second in a row, or a retry is pointless. */
  done({ id, status, error }: ResponseDone, now: number): Effect[] {
    if (id === this.#active) {
      this.#active = undefined;
      if (this.#isOurs) this.#forgetRejected();
    }
    if (status !== 'failed') {
      this.#hasFailed = false;
      if (id === this.#latest && this.#waiting?.what === 'rest') {
        this.#waiting = this.#isOwed ? { since: now, what: 'sound' } : undefined;
      }
      return [];
    }
    const failure: Failure = { reason: 'response failed', error };
    if (verdict(failure) !== 'again') return [{ end: failure.reason, error }];
    // The caller has moved on: the next turn is answered anyway.
    if (this.#interrupted.has(id) || this.#speakingSince !== undefined) return [];
    if (this.#hasFailed) return [{ end: failure.reason, error }];
    this.#hasFailed = true;
    this.#isRetry = true;
    this.#owe(now, retryAfterMs(failure));
    return [];
  }

  /** Asks for what is owed, unless something else is going on, such as a tool that is running. */
  due(areToolsRunning: boolean, now: number): Effect[] {
    const isBusy = this.#active !== undefined || this.#isRequested || this.#isTurnAwaited || areToolsRunning;
    if (!this.#isOwed || isBusy || this.#speakingSince !== undefined || now < this.#notBefore) return [];
    this.#isRequested = true;
    this.#unseenWhenAsked = this.#unseen;
    this.#isMoreOwed = false;
    if (this.#isRetry) this.retries += 1;
    this.#isRetry = false;
    return [toOpenAI({ type: 'response.create' })];
  }

  /** Whether the caller has waited for too long; while a tool runs, nobody waits. */
  isOverdue(areToolsRunning: boolean, now: number): boolean {
    if (areToolsRunning && this.#waiting !== undefined) this.#waiting.since = now;
    const isHeld = this.#speakingSince !== undefined && now - this.#speakingSince >= MAX_SPEECH_MS;
    return isHeld || (this.#waiting !== undefined && now - this.#waiting.since >= MAX_WAIT_MS);
  }

  /** What isn't added by the end of the response that was asked for after it never will be: nothing is owed for it. */
  #forgetRejected(): void {
    if (this.#unseenWhenAsked === 0) return;
    this.#unseen -= this.#unseenWhenAsked;
    this.#unseenWhenAsked = 0;
    this.#isOwed = this.#isMoreOwed;
  }

  #owe(now: number, delayMs = 0): void {
    this.#isOwed = true;
    this.#isMoreOwed = true;
    this.#notBefore = now + delayMs;
    this.#waiting ??= { since: now, what: 'sound' };
  }
}
