import { dropOldest } from '../drop-oldest.ts';
import { type Failure, retryAfterMs, verdict } from '../failure.ts';
import type { AddedItem, OpenAIError, ResponseDone } from '../wire/openai.ts';
import { type Effect, toOpenAI } from './effect.ts';

/** The longest wait of a caller for a sound, in ms. */
const MAX_WAIT_MS = 15_000;
/** The longest speech without a pause that OpenAI detects, in ms: noise has no pauses. */
const MAX_SPEECH_MS = 180_000;
/** Late audio comes for the last few responses only. */
const MAX_INTERRUPTED = 100;
/** Time for a new session to detect that the caller is speaking already, in ms. */
const MAX_ONSET_MS = 1_000;

/**
 * The response that OpenAI has in the making. `sees` counts the items that were sent before it was asked for; undefined if
 * turn detection made it.
 */
type Response =
  | { is: 'none' }
  | { is: 'asked'; sees: number }
  | { is: 'active'; id: string; sees: number | undefined };

/** A response that is still to come. It must see that many items, and isn't asked for before `notBefore`. */
interface Debt {
  items: number;
  notBefore: number;
  isRetry: boolean;
}

/** Whose turn it is: the caller's, the assistant's after the caller has spoken, or nobody's. */
type Turn = { is: 'open' } | { is: 'caller'; since: number } | { is: 'assistant' };

/**
 * OpenAI's responses, and the only place that asks for one.
 *
 *     none ── response.create ──▶ asked ── response.created ──▶ active ── response.done ──▶ none
 *       └───────────── response.created, by turn detection ───────▲
 *
 * Items that are sent, such as a tool's output, leave a *debt*: a response that sees them. OpenAI handles events in order, so a
 * response sees an item if it is created after `conversation.item.added`, or was asked for after the item was sent.
 */
export class Replies {
  /** Responses that were asked for once more, for the log. */
  retries = 0;
  #response: Response = { is: 'none' };
  #debt: Debt | undefined;
  #turn: Turn = { is: 'open' };
  /** Items of this session: those sent, and those that OpenAI has added, or has had time to. */
  #items = { sent: 0, added: 0 };
  readonly #interrupted = new Set<string>();
  /** The latest response, active or over, and the latest with audio. */
  #latest: string | undefined;
  #spoken: string | undefined;
  /** Whether the response before failed, and was not interrupted. */
  #hasFailed = false;
  /** Since when the caller has been waiting: for a reply, for any sound, or for the rest of a response. */
  #waiting: { since: number; what: 'reply' | 'sound' | 'rest' } | undefined;

  /** Whether the assistant has nothing more to say. */
  get isIdle(): boolean {
    return this.#response.is === 'none' && this.#debt === undefined && this.#turn.is !== 'assistant';
  }

  /** Whether neither side is speaking, or about to. */
  get isPause(): boolean {
    return this.isIdle && !this.isCallerSpeaking;
  }

  get isCallerSpeaking(): boolean {
    return this.#turn.is === 'caller';
  }

  get latest(): string | undefined {
    return this.#latest;
  }

  /** A session is ready and was sent `items`; the assistant `speaks` first, unless the caller is speaking. */
  sessionReady(items: number, speaks: boolean, now: number): void {
    this.#items = { sent: items, added: 0 };
    if (speaks) this.#owe(now, this.isCallerSpeaking ? MAX_ONSET_MS : 0);
    this.#turn = { is: 'open' };
  }

  /** The session is gone, with all that went on in it; the caller waits for the next one if that `isAwaited`. */
  sessionLost(isAwaited: boolean, now: number): void {
    this.#response = { is: 'none' };
    this.#debt = undefined;
    if (this.#turn.is === 'assistant') this.#turn = { is: 'open' };
    this.#hasFailed = false;
    if (isAwaited) this.#waiting ??= { since: now, what: 'sound' };
  }

  /** The caller hears what comes from now on, and has not waited for it before. */
  streamStarted(now: number): void {
    if (this.#waiting !== undefined) this.#waiting.since = now;
  }

  /** Items were sent, to which OpenAI should respond if a response `isOwed`. */
  sent(items: number, isOwed: boolean, now: number): void {
    this.#items.sent += items;
    if (isOwed && items > 0) this.#owe(now);
  }

  /** OpenAI added an item: one of those that were sent, or its own. */
  itemAdded({ type, text }: AddedItem): void {
    const isSent = type === 'function_call_output' || text !== undefined;
    if (isSent && this.#items.added < this.#items.sent) this.#items.added += 1;
  }

  created(responseId: string): void {
    const sees = this.#response.is === 'asked' ? this.#response.sees : undefined;
    this.#response = { is: 'active', id: responseId, sees };
    this.#latest = responseId;
    if (this.#turn.is === 'assistant') this.#turn = { is: 'open' };
    this.#pay(this.#items.added);
  }

  /** An error by itself ends nothing: a close would follow. */
  error(error: OpenAIError): Effect[] {
    // Turn detection was quicker: what is owed is asked for after its response.
    if (error.code === 'conversation_already_has_active_response') {
      if (this.#response.is === 'active') this.#response.sees = undefined;
      else this.#response = { is: 'none' };
    }
    return verdict({ reason: 'openai error', error }) === 'give up' ? [{ end: 'openai error', error }] : [];
  }

  isInterrupted(responseId: string): boolean {
    return this.#interrupted.has(responseId);
  }

  hasSpoken(responseId: string): boolean {
    return this.#spoken === responseId;
  }

  /** Whether a response that is over had audio, and came to its end. */
  isSaid({ id, status }: ResponseDone): boolean {
    return this.hasSpoken(id) && (status === 'completed' || status === 'incomplete');
  }

  /** Audio is passed on; returns how long the caller waited for it, in ms, if it begins a reply. */
  heard(responseId: string, now: number): number | undefined {
    const waited = this.#waiting?.what === 'reply' ? now - this.#waiting.since : undefined;
    this.#latest = responseId;
    this.#spoken = responseId;
    this.#waiting = { since: now, what: 'rest' };
    return waited;
  }

  /** Interrupts the assistant, as OpenAI does by itself, and cancels the debt: the caller's turn brings a reply. */
  speechStarted(now: number): void {
    this.#turn = { is: 'caller', since: now };
    this.#hasFailed = false;
    this.#debt = undefined;
    this.interrupt();
  }

  speechStopped(now: number): void {
    this.#turn = { is: 'assistant' };
    this.#waiting = { since: now, what: 'reply' };
  }

  /** Interrupts the latest response. */
  interrupt(): void {
    this.#waiting = undefined;
    if (this.#latest === undefined) return;
    this.#interrupted.add(this.#latest);
    dropOldest(this.#interrupted, MAX_INTERRUPTED);
  }

  /** Interrupts the latest response where OpenAI doesn't by itself. */
  cancel(): Effect[] {
    this.interrupt();
    if (this.#response.is !== 'active') return [];
    return [toOpenAI({ type: 'response.cancel', response_id: this.#response.id })];
  }

  /** The caller was muted, and OpenAI was given the silence that ends a turn: a reply should come. */
  muted(now: number): void {
    this.#waiting ??= { since: now, what: 'sound' };
  }

  /** Asks once more for a response that failed, unless it was the second in a row, or a retry is pointless. */
  done({ id, status, error }: ResponseDone, now: number): Effect[] {
    if (this.#response.is === 'active' && id === this.#response.id) {
      const { sees } = this.#response;
      this.#response = { is: 'none' };
      if (sees !== undefined) {
        // What OpenAI hasn't added by now it has rejected.
        this.#items.added = Math.max(this.#items.added, sees);
        this.#pay(sees);
      }
    }
    if (status !== 'failed') {
      this.#hasFailed = false;
      if (id === this.#latest && this.#waiting?.what === 'rest') {
        this.#waiting = this.#debt && { since: now, what: 'sound' };
      }
      return [];
    }
    const failure: Failure = { reason: 'response failed', error };
    if (verdict(failure) !== 'again') return [{ end: failure.reason, error }];
    // The caller's next turn is answered anyway.
    if (this.#interrupted.has(id) || this.isCallerSpeaking) return [];
    if (this.#hasFailed) return [{ end: failure.reason, error }];
    this.#hasFailed = true;
    this.#owe(now, retryAfterMs(failure), true);
    return [];
  }

  /** Asks for what is owed, unless something else is going on. */
  due(areToolsRunning: boolean, now: number): Effect[] {
    const isBusy = areToolsRunning || this.#response.is !== 'none' || this.#turn.is !== 'open';
    if (this.#debt === undefined || isBusy || now < this.#debt.notBefore) return [];
    if (this.#debt.isRetry) this.retries += 1;
    this.#debt.isRetry = false;
    this.#response = { is: 'asked', sees: this.#items.sent };
    return [toOpenAI({ type: 'response.create' })];
  }

  /** Whether the caller has waited for too long; nobody waits while a tool runs. */
  isOverdue(areToolsRunning: boolean, now: number): boolean {
    if (areToolsRunning && this.#waiting !== undefined) this.#waiting.since = now;
    const isHeld = this.#turn.is === 'caller' && now - this.#turn.since >= MAX_SPEECH_MS;
    return isHeld || (this.#waiting !== undefined && now - this.#waiting.since >= MAX_WAIT_MS);
  }

  #owe(now: number, delayMs = 0, isRetry = false): void {
    const notBefore = Math.max(now + delayMs, this.#debt?.notBefore ?? 0);
    this.#debt = { items: this.#items.sent, notBefore, isRetry: isRetry || this.#debt?.isRetry === true };
    this.#waiting ??= { since: now, what: 'sound' };
  }

  /** Cancels the debt if it is for no more items than a response has seen. */
  #pay(seen: number): void {
    if (this.#debt !== undefined && this.#debt.items <= seen) this.#debt = undefined;
  }
}
