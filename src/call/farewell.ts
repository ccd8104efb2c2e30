import type { Effect } from './effect.ts';

/** What the model is told that ends the call: what is left to say, if it has said nothing. */
export const DONE = 'Done.';
export const SAY_GOODBYE = 'Say goodbye in one short sentence. The call ends then.';
export const SAY_PUT_THROUGH = 'Say in one short sentence that you put the caller through now.';
/** How much later than reckoned the goodbye may be heard, in ms. */
const MAX_LATE_MS = 2_000;

/** How the assistant ends the call: once the caller has heard the goodbye, and hasn't objected. */
export class Farewell {
  /** `responseId` is the one that wanted it; `isSaid` once another one, or that one, has said goodbye. */
  #pending: { to: string | undefined; responseId: string; isSaid: boolean } | undefined;
  #wasKept = false;

  /**
   * The call is to end: `to` is whom the caller is put through to; `isSaid` if the response has said goodbye itself. Returns
   * what to tell the model.
   */
  begin(to: string | undefined, responseId: string, isSaid: boolean): string {
    this.#pending = { to, responseId, isSaid };
    if (isSaid) return DONE;
    return to === undefined ? SAY_GOODBYE : SAY_PUT_THROUGH;
  }

  responseDone(responseId: string): void {
    if (this.#pending !== undefined && responseId !== this.#pending.responseId) this.#pending.isSaid = true;
  }

  get isPending(): boolean {
    return this.#pending !== undefined;
  }

  /** A caller who speaks or presses a key before the end keeps the call, once: an answer to a second goodbye is only that. */
  interrupted(): void {
    if (this.#pending === undefined || this.#wasKept) return;
    this.#wasKept = true;
    this.#pending = undefined;
  }

  /**
   * Returns how to end the call if that is due: the assistant has nothing more to say, and all was heard or is `lateMs`
   * late by the reckoning.
   */
  due(isIdle: boolean, isHeard: boolean, lateMs: number): Effect[] {
    if (!this.#pending?.isSaid || !isIdle) return [];
    return isHeard || lateMs >= MAX_LATE_MS ? [ending(this.#pending.to)] : [];
  }

  /** Returns how to end the call of a caller who waits in vain for the goodbye. */
  overdue(): Effect | undefined {
    return this.#pending && ending(this.#pending.to);
  }
}

function ending(to: string | undefined): Effect {
  return { end: to === undefined ? 'assistant hung up' : 'put through', putThrough: to };
}
