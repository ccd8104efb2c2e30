import type { Reason } from '../failure.ts';
import { type Effect, type End, textMessage } from './effect.ts';

/** What the model is told that ends the call: what is left to say, if it has said nothing. */
export const DONE = 'Done.';
export const KEPT = 'The caller has cut in, and the call goes on.';
export const SAY_GOODBYE = 'Say goodbye in one short sentence. The call ends then.';
export const SAY_PUT_THROUGH = 'Say in one short sentence that you put the caller through now.';
/** How much later than reckoned the goodbye may be heard, in ms. */
const MAX_LATE_MS = 2_000;
/** How long the last words may take of a call that has to end, in ms. */
const MAX_CONCLUSION_MS = 10_000;

/** How the assistant ends the call: once the caller has heard the goodbye, and hasn't objected; or at last, if it has to. */
export class Farewell {
  /** `responseId` is the last one before it; `isSaid` once another one, or that one, has said goodbye. */
  #pending:
    | { reason: Reason; to?: string | undefined; responseId: string | undefined; isSaid: boolean }
    | undefined;
  #wasKept = false;
  /** When a call that has to end does so, whatever was heard. */
  #deadline = Number.POSITIVE_INFINITY;

  /**
   * The call is to end, unless the caller has cut in meanwhile: `to` is whom the caller is put through to; `isSaid` if the
   * response has said goodbye itself. Returns what to tell the model.
   */
  begin(
    { to }: { to: string | undefined },
    responseId: string,
    isSaid: boolean,
    hasCutIn: boolean,
  ): { output: string } {
    const reason = to === undefined ? 'assistant hung up' : 'put through';
    if (this.#hasToEnd) {
      if (this.#pending !== undefined && to !== undefined) this.#pending = { ...this.#pending, reason, to };
      return { output: DONE };
    }
    if (hasCutIn) return { output: KEPT };
    this.#pending = { reason, to, responseId, isSaid };
    return { output: this.#unsaid ?? DONE };
  }

  /** The call has to end; returns what has the model say the `sentence`, unless it is saying goodbye anyway. */
  conclude(
    reason: Reason,
    sentence: string,
    lastResponseId: string | undefined,
    now: number,
  ): Effect | undefined {
    this.#deadline = Math.min(this.#deadline, now + MAX_CONCLUSION_MS);
    if (this.#pending !== undefined) return undefined;
    this.#pending = { reason, responseId: lastResponseId, isSaid: false };
    const task =
      'The call has to end. Say this to the caller, in the language that is spoken, and nothing else';
    return textMessage('system', `${task}: "${sentence}"`);
  }

  responseDone(responseId: string): void {
    if (this.#pending !== undefined && responseId !== this.#pending.responseId) this.#pending.isSaid = true;
  }

  /** The session is gone; returns what its successor is still to say, nothing where that was said. */
  sessionLost(): string | undefined {
    return this.#unsaid;
  }

  get isPending(): boolean {
    return this.#pending !== undefined;
  }

  /** A caller who speaks or presses a key before the end keeps the call, once: an answer to a second goodbye is only that. */
  interrupted(): void {
    if (this.#pending === undefined || this.#wasKept || this.#hasToEnd) return;
    this.#wasKept = true;
    this.#pending = undefined;
  }

  /**
   * Returns how to end the call if that is due: the assistant has nothing more to say, and all was heard or is `lateMs`
   * late by the reckoning.
   */
  due(isIdle: boolean, isHeard: boolean, lateMs: number, now: number): Effect[] {
    if (this.#pending === undefined) return [];
    const { reason, to, isSaid } = this.#pending;
    const isTold = isSaid && isIdle && (isHeard || lateMs >= MAX_LATE_MS);
    return isTold || now >= this.#deadline ? [{ end: reason, putThrough: to, isTold }] : [];
  }

  /** How the call ends, if it is to, where the goodbye can't be waited for. */
  get now(): End | undefined {
    if (this.#pending === undefined) return undefined;
    return { end: this.#pending.reason, putThrough: this.#pending.to, isTold: false };
  }

  get #hasToEnd(): boolean {
    return this.#deadline < Number.POSITIVE_INFINITY;
  }

  get #unsaid(): string | undefined {
    if (this.#pending === undefined || this.#pending.isSaid) return undefined;
    return this.#pending.to === undefined ? SAY_GOODBYE : SAY_PUT_THROUGH;
  }
}
