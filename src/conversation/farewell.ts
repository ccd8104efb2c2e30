import type { Ending } from '../contract.ts';
import type { Reason } from '../failure.ts';
import { type Effect, type End, textMessage } from './effect.ts';

/** What the model is told that ends the call: what is left to say, if it has said nothing. */
export const DONE = 'Done.';
export const KEPT = 'The caller has cut in, and the call goes on.';
export const SAY_GOODBYE = 'Say goodbye in one short sentence. The call ends then.';
export const SAY_PUT_THROUGH = 'Say in one short sentence that you put the caller through now.';
/** How much later than estimated the goodbye may be heard, in ms. */
const MAX_LATE_MS = 2_000;
/** A sentence that takes less, in ms, is finished before the last words; and one before a shutdown. */
export const MAX_SENTENCE_MS = 5_000;
export const SHORT_SENTENCE_MS = 2_000;
/** Questions that may go unanswered in a row. */
const MAX_QUESTIONS = 3;
/** Time for the last words of a call that must end, in ms. */
const MAX_CONCLUSION_MS = 10_000;

/** An end to come. The goodbye is any response but `notId`, the latest one before; `goodbyeId` once it was generated. */
interface Pending {
  end: End;
  notId: string | undefined;
  goodbyeId?: string | undefined;
}

/** How the assistant ends the call: once the caller has heard the goodbye and hasn't objected, or by a deadline. */
export class Farewell {
  #pending: Pending | undefined;
  #wasKept = false;
  #questions = 0;
  /** When a call that must end does so, whatever was heard. */
  #deadline = Number.POSITIVE_INFINITY;

  /**
   * A tool ends the call, unless the caller has cut in; no later hang-up undoes a put-through. `isSaid` says whether the latest
   * response, `id`, has said goodbye. Returns what to tell the model.
   */
  begin(ends: Partial<Ending>, id: string, isSaid: boolean, hasCutIn: boolean): { output: string } {
    const { to: putThrough, callerId } = ends;
    const isHangUp = putThrough === undefined;
    if (isHangUp && this.#pending?.end.putThrough !== undefined) return { output: this.unsaid ?? DONE };
    const end: End = { end: isHangUp ? 'assistant hung up' : 'put through', putThrough, callerId };
    if (this.#mustEnd) {
      if (this.#pending !== undefined && !isHangUp) this.#pending.end = end;
      return { output: DONE };
    }
    if (hasCutIn) return { output: KEPT };
    this.#pending = { end, notId: id, goodbyeId: isSaid ? id : undefined };
    return { output: this.unsaid ?? DONE };
  }

  /** The call must end; returns what has the model say `sentence`, unless it says goodbye anyway. */
  conclude(reason: Reason, sentence: string, latestId: string | undefined, now: number): Effect | undefined {
    this.#deadline = Math.min(this.#deadline, now + MAX_CONCLUSION_MS);
    if (this.#pending !== undefined) return undefined;
    this.#pending = { end: { end: reason }, notId: latestId };
    const task =
      'The call must end. Say this to the caller, in the language that is spoken, and nothing else';
    return textMessage('system', `${task}: "${sentence}"`);
  }

  /** A response was said. */
  responseDone(responseId: string): void {
    if (this.#pending !== undefined && responseId !== this.#pending.notId)
      this.#pending.goodbyeId ??= responseId;
  }

  /** Whether a response comes after the final goodbye. */
  isAfter(responseId: string): boolean {
    const { goodbyeId = responseId } = this.#pending ?? {};
    return this.#isFinal && goodbyeId !== responseId;
  }

  get isPending(): boolean {
    return this.#pending !== undefined;
  }

  get isSaid(): boolean {
    return this.#pending?.goodbyeId !== undefined;
  }

  /** A caller who speaks or presses a key keeps the call, once; returns whether that cuts the assistant off. */
  interrupted(): boolean {
    this.#questions = 0;
    if (this.#isFinal) return false;
    this.#wasKept ||= this.isPending;
    this.#pending = undefined;
    return true;
  }

  /** The assistant asks whether the caller is there; returns what has it say goodbye instead, after some questions. */
  timedOut(latestId: string | undefined): Effect | undefined {
    this.#questions += 1;
    if (this.#questions <= MAX_QUESTIONS) return undefined;
    this.#pending = { end: { end: 'nobody there' }, notId: latestId };
    return textMessage('system', SAY_GOODBYE);
  }

  /** Returns how the call ends, once the goodbye was heard and nothing more is to be said, or is `lateMs` late. */
  due(isIdle: boolean, isHeard: boolean, lateMs: number, now: number): Effect[] {
    if (this.#pending === undefined) return [];
    const { goodbyeId } = this.#pending;
    const isOver = goodbyeId !== undefined && (isIdle || this.#isFinal);
    const isTold = isOver && (isHeard || lateMs >= MAX_LATE_MS);
    return isTold || now >= this.#deadline ? [{ ...this.#pending.end, isTold }] : [];
  }

  /** How the call ends at once, if it is to end. */
  get now(): End | undefined {
    return this.#pending && { ...this.#pending.end, isTold: false };
  }

  /** What the model is still to say before the call ends, as an instruction. */
  get unsaid(): string | undefined {
    if (this.#pending === undefined || this.isSaid) return undefined;
    return this.#pending.end.putThrough === undefined ? SAY_GOODBYE : SAY_PUT_THROUGH;
  }

  get #mustEnd(): boolean {
    return this.#deadline < Number.POSITIVE_INFINITY;
  }

  /** Whether the call ends after this goodbye even if the caller speaks. */
  get #isFinal(): boolean {
    return this.isPending && (this.#wasKept || this.#mustEnd);
  }
}
