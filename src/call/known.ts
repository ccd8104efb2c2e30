import type { Reason } from '../failure.ts';
import type { NextStep } from '../wire/twiml.ts';
import type { Call } from './call.ts';

/** Calls that are remembered, beside those that aren't over. */
const MAX_KNOWN = 10_000;

/** What is known of a CallSid. */
export interface Known {
  /** The call, unless it is over. */
  call: Call | undefined;
  /** The webhook's call while `answer` is asked. */
  beginning: Promise<Call | Reason> | undefined;
  /** Tokens that were used, each of which admits one stream; and when others were issued, by `running()`. */
  tokens: string[];
  issued: Map<string, number>;
  streams: number;
  wasGivenUp: boolean;
  outcome: { next: NextStep; at: number; asked: () => void } | undefined;
}

/** The latest calls of this process, by CallSid. */
export class KnownCalls {
  /** The latest last. */
  readonly #calls = new Map<string, Known>();

  find(callSid: string): Known | undefined {
    return this.#calls.get(callSid);
  }

  /** Returns what is known of a call, which becomes the latest. */
  of(callSid: string): Known {
    const known = this.#calls.get(callSid) ?? {
      call: undefined,
      beginning: undefined,
      tokens: [],
      issued: new Map(),
      streams: 0,
      wasGivenUp: false,
      outcome: undefined,
    };
    this.#calls.delete(callSid);
    for (const [oldest, { call, beginning }] of this.#calls) {
      if (this.#calls.size < MAX_KNOWN) break;
      if (call === undefined && beginning === undefined) this.#calls.delete(oldest);
    }
    this.#calls.set(callSid, known);
    return known;
  }
}
