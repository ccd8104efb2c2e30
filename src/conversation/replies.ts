import { type Failure, retryAfterMs, verdict } from '../failure.ts';
import type { AddedItem, OpenAIError, ResponseDone } from '../wire/openai.ts';
import { dropOldest } from './drop-oldest.ts';
import { type Effect, toOpenAI } from './effect.ts';
import { Watchdog } from './watchdog.ts';

/** The longest speech without a pause that OpenAI detects, in ms: noise has no pauses. */
const MAX_SPEECH_MS = 180_000;
/** Time for a session to hear a turn that is repeated, in ms. */
const MAX_ONSET_MS = 1_000;
/** Responses in a row without a word, which call tools: the next may call none. */
const MAX_UNHEARD = 8;
/** Late audio comes for the last few responses only. */
const MAX_INTERRUPTED = 100;

/**
 * The response that OpenAI has in the making. `sees` counts the items that were sent before it was asked for; undefined if
 * turn detection made it. `had` counts the items that were added before it was created. A response that `isCut` before it
 * exists is never heard.
 */
type Response =
  | { is: 'none' }
  | { is: 'asked'; sees: number; isCut: boolean }
  | { is: 'active'; id: string; sees: number | undefined; had: number };

/** A response that is still to come. It must see that many items, and isn't asked for before `notBefore`. */
interface Debt {
  items: number;
  notBefore: number;
}

/** Whose turn it is: the caller's; the assistant's, when turn detection is about to make a response; or nobody's. */
type Turn =
  | { is: 'open' }
  | { is: 'caller'; since: number }
  | { is: 'assistant'; isCut: boolean; isQuestion: boolean };

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
  /** Responses that failed and are to be asked for once more, for the log. */
  retries = 0;
  /** Whether either side has said anything that the other could hear. */
  isBegun = false;
  #response: Response = { is: 'none' };
  #debt: Debt | undefined;
  #turn: Turn = { is: 'open' };
  /** Counts of this session's items: `sent` ones, and ones that OpenAI has `added`, or has had time to. */
  #items = { sent: 0, added: 0 };
  readonly #interrupted = new Set<string>();
  readonly isInterrupted = (responseId: string) => this.#interrupted.has(responseId);
  /** The latest response, active or over, and the latest with audio. */
  latest: string | undefined;
  #spoken: string | undefined;
  /** A response that hasn't seen all that was sent before it: another one is owed. */
  #blind: string | undefined;
  /** Responses since the caller last heard a word, or spoke. */
  #unheard = 0;
  /** Whether the response before failed, and was not interrupted. */
  #hasFailed = false;
  readonly watchdog = new Watchdog();

  /** Whether the assistant has nothing more to say. */
  get isIdle(): boolean {
    return this.#response.is === 'none' && this.#debt === undefined && this.#turn.is !== 'assistant';
  }

  get isCallerSpeaking(): boolean {
    return this.#turn.is === 'caller';
  }

  /** Whether the caller speaks, or waits for the reply to it. */
  get isCallersTurn(): boolean {
    return this.isCallerSpeaking || (this.#turn.is === 'assistant' && !this.#turn.isQuestion);
  }

  /**
   * A session is ready and was sent `items`. The assistant `speaks` first: at once, or if a turn `isRepeated` that OpenAI
   * doesn't hear.
   */
  sessionReady(items: number, speaks: boolean, isRepeated: boolean, now: number): void {
    this.#items = { sent: items, added: 0 };
    if (speaks) this.#owe(now, isRepeated ? MAX_ONSET_MS : 0);
    this.#turn = { is: 'open' };
  }

  /** The session is gone, with all that went on in it; the next one, if that `isAwaited`, has been waited for `since` then. */
  sessionLost(isAwaited: boolean, since: number): void {
    this.#response = { is: 'none' };
    this.#debt = undefined;
    if (this.#turn.is === 'assistant') this.#turn = { is: 'open' };
    this.#hasFailed = false;
    if (isAwaited && this.isBegun) this.watchdog.start(since);
  }

  /** Items were sent, to which OpenAI should respond if a response `isOwed`. */
  sent(items: number, isOwed: boolean, now: number): void {
    this.#items.sent += items;
    if (isOwed && items > 0) this.#owe(now);
  }

  /** OpenAI added an item: a sent one, or its own. */
  itemAdded({ type, role, text }: AddedItem): void {
    // A question to a silent caller has a system item that OpenAI adds.
    const isOpenAIs = role === 'system' && this.#turn.is === 'assistant' && this.#turn.isQuestion;
    const isSent = type === 'function_call_output' || (text !== undefined && !isOpenAIs);
    if (isSent && this.#items.added < this.#items.sent) this.#items.added += 1;
  }

  /** A response exists. It is cancelled if the caller speaks, whom turn detection lets finish, or has cut it already. */
  created(responseId: string): Effect[] {
    const sees = this.#response.is === 'asked' ? this.#response.sees : undefined;
    const isCut = [this.#response, this.#turn].some(
      (each) => each.is === 'caller' || ('isCut' in each && each.isCut),
    );
    this.#response = { is: 'active', id: responseId, sees, had: this.#items.added };
    this.latest = responseId;
    this.#unheard += 1;
    if (this.#turn.is === 'assistant') this.#turn = { is: 'open' };
    // What is never heard pays nothing.
    if (!isCut) this.#pay(this.#items.added);
    if (this.#debt !== undefined && this.#debt.items > (sees ?? 0)) this.#blind = responseId;
    return isCut ? this.cancel() : [];
  }

  /** Returns an error that ends the call: others end nothing by themselves, as a close would follow. */
  error(error: OpenAIError, now: number): Failure | undefined {
    if (error.code === 'conversation_already_has_active_response') {
      if (this.#response.is === 'active') {
        const { sees = 0, had } = this.#response;
        if (this.#turn.is === 'assistant') {
          // A response that was asked for was quicker than turn detection, which makes none for this turn.
          this.#turn = { is: 'open' };
          this.#owe(now);
        }
        // Turn detection was quicker: what is owed, though its turn cancelled it, is asked for after its response.
        else if (sees > had) {
          this.#debt ??= { items: sees, notBefore: Number.NEGATIVE_INFINITY };
          this.#blind = this.#response.id;
        }
        this.#response.sees = undefined;
      } else this.#response = { is: 'none' };
    }
    const failure: Failure = { reason: 'openai error', error };
    return verdict(failure) === 'give up' ? failure : undefined;
  }

  hasSpoken(responseId: string): boolean {
    return this.#spoken === responseId;
  }

  hasSeenAll(responseId: string): boolean {
    return this.#blind !== responseId;
  }

  /** Audio is passed on; returns how long the caller waited for it, in ms, if it begins a reply. */
  heard(responseId: string, now: number): number | undefined {
    this.latest = responseId;
    this.#spoken = responseId;
    this.isBegun = true;
    this.#unheard = 0;
    return this.watchdog.heard(now);
  }

  /**
   * Interrupts the assistant, if it `isPlaying` or a response is in the making, as OpenAI does by itself. Cancels the debt: the
   * caller's turn brings a reply.
   */
  speechStarted(now: number, isPlaying: boolean): void {
    this.#turn = { is: 'caller', since: now };
    this.isBegun = true;
    this.#unheard = 0;
    this.#hasFailed = false;
    this.#debt = undefined;
    if (isPlaying || this.#response.is !== 'none') this.interrupt();
    else this.watchdog.stop();
  }

  /** The caller has spoken, or been silent for so long that it `isQuestion`: turn detection makes a response. */
  turnEnded(now: number, { isQuestion = false, isCut = false } = {}): void {
    this.#turn = { is: 'assistant', isCut, isQuestion };
    // What OpenAI creates next is the answer to this turn.
    if (this.#response.is === 'asked') this.#response.isCut = false;
    this.watchdog.restart('reply', now);
  }

  /** Interrupts the latest response. */
  interrupt(): void {
    this.watchdog.stop();
    if (this.latest === undefined) return;
    this.#interrupted.add(this.latest);
    dropOldest(this.#interrupted, MAX_INTERRUPTED);
  }

  /** Interrupts the latest response, or the next one, if OpenAI doesn't by itself. */
  cancel(): Effect[] {
    if (this.#response.is === 'asked') this.#response.isCut = true;
    else if (this.#response.is === 'none' && this.#turn.is === 'assistant') this.#turn.isCut = true;
    this.interrupt();
    if (this.#response.is !== 'active') return [];
    return [toOpenAI({ type: 'response.cancel', response_id: this.#response.id })];
  }

  /** Asks once more for a response that broke off unheard. Returns the failure if it was the second in a row, or will last. */
  done({ id, status, isEmpty, error }: ResponseDone, now: number): Failure | undefined {
    if (this.#response.is === 'active' && id === this.#response.id) {
      const { sees } = this.#response;
      this.#response = { is: 'none' };
      if (sees !== undefined) {
        // What OpenAI hasn't added by now it has rejected.
        this.#items.added = Math.max(this.#items.added, sees);
        this.#pay(sees);
      }
    }
    if (status !== 'failed' && !(status === 'incomplete' && !this.hasSpoken(id))) {
      this.#hasFailed = false;
      // An empty response is the model's choice to say nothing, to a cough for example.
      if (id === this.latest && (this.watchdog.isForRest || isEmpty)) this.watchdog.stop();
      return undefined;
    }
    const failure: Failure = { reason: 'response failed', error };
    const waitMs = retryAfterMs(failure);
    if (verdict(failure) !== 'again') return failure;
    // The caller's next turn is answered anyway.
    if (this.#interrupted.has(id) || this.isCallerSpeaking) return undefined;
    if (this.#hasFailed || this.watchdog.isTooLong(waitMs, now)) return failure;
    this.#hasFailed = true;
    this.retries += 1;
    this.#owe(now, waitMs);
    return undefined;
  }

  /** Nothing more is to be said. */
  settle(): void {
    this.#debt = undefined;
  }

  /** Asks for what is owed, unless something else is going on. */
  due(areToolsRunning: boolean, now: number): Effect[] {
    const isBusy = areToolsRunning || this.#response.is !== 'none' || this.#turn.is !== 'open';
    if (this.#debt === undefined || isBusy || now < this.#debt.notBefore) return [];
    this.#response = { is: 'asked', sees: this.#items.sent, isCut: false };
    this.watchdog.start(now);
    const response = { tool_choice: 'none' } as const;
    return [toOpenAI({ type: 'response.create', ...(this.#unheard >= MAX_UNHEARD && { response }) })];
  }

  /** Whether the caller has heard nothing for too long; `isBusy` while something is playing, or a tool runs. */
  isOverdue(isBusy: boolean, now: number): boolean {
    const isHeld = this.#turn.is === 'caller' && now - this.#turn.since >= MAX_SPEECH_MS;
    return isHeld || this.watchdog.isOverdue(isBusy, now);
  }

  #owe(now: number, delayMs = 0): void {
    // Not before now would be too late: the clock goes back by a stall once that is noticed.
    const from = delayMs > 0 ? now + delayMs : Number.NEGATIVE_INFINITY;
    const notBefore = Math.max(from, this.#debt?.notBefore ?? from);
    this.#debt = { items: this.#items.sent, notBefore };
  }

  /** Cancels the debt if it is for no more items than a response has seen. */
  #pay(seen: number): void {
    if (this.#debt !== undefined && this.#debt.items <= seen) this.#debt = undefined;
  }
}
