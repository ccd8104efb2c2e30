import type { Used } from './admission.ts';
import { Call } from './call.ts';

/** How long a call that was prepared waits for its stream, in ms. */
const CLAIM_MS = 15_000;

/** The calls that were answered, and whose stream hasn't started: one for a CallSid, however often Twilio asks. */
export class Preparations {
  readonly #used: Used;
  readonly #byCall = new Map<string, { call: Call; timer: NodeJS.Timeout }>();
  /** Those of which it is still asked who answers. */
  readonly #beginning = new Map<string, Promise<Call | 'busy' | undefined>>();

  constructor(used: Used) {
    this.#used = used;
  }

  has(callSid: string): boolean {
    return this.#byCall.has(callSid);
  }

  /**
   * Prepares the call that `begin` resolves to, if it does, and returns it; for whoever asks again meanwhile, it is the same
   * one. Undefined for a call that isn't prepared any more: it was given up, or was prepared too often.
   */
  async prepare(
    callSid: string,
    begin: () => Promise<Call | 'busy' | undefined>,
  ): Promise<Call | 'busy' | undefined> {
    const earlier = this.#byCall.get(callSid)?.call ?? this.#beginning.get(callSid);
    if (earlier !== undefined) return earlier;
    if (!this.#used.mayPrepare(callSid)) return undefined;
    this.#used.preparation(callSid);
    const beginning = begin();
    this.#beginning.set(callSid, beginning);
    try {
      const call = await beginning;
      if (call instanceof Call) this.#add(call);
      return call;
    } finally {
      this.#beginning.delete(callSid);
    }
  }

  #add(call: Call): void {
    const { sid } = call.info;
    const timer = setTimeout(() => {
      this.#byCall.delete(sid);
      this.#used.giveUp(sid);
      call.end('not claimed');
    }, CLAIM_MS);
    this.#byCall.set(sid, { call, timer });
  }

  /** The call that its stream has come for; undefined if there is none, or its session has failed meanwhile. */
  claim(callSid: string): Call | undefined {
    const prepared = this.#byCall.get(callSid);
    clearTimeout(prepared?.timer);
    this.#byCall.delete(callSid);
    return prepared?.call.isOver ? undefined : prepared?.call;
  }

  /** Gives up all of them. */
  close(): void {
    for (const { call, timer } of this.#byCall.values()) {
      clearTimeout(timer);
      call.end('shutdown');
    }
    this.#byCall.clear();
  }
}
