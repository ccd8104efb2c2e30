import type { Persona } from '../contract.ts';
import { isDoneWithin, running } from '../timers.ts';
import { TOKEN_MS } from '../wire/auth.ts';
import type { NextStep } from '../wire/twiml.ts';
import type { Call } from './call.ts';

/** Tokens of a call that are remembered: as many as it may have streams. */
const MAX_TOKENS = 5;
/** Time for Twilio to ask about the outcome of a call, in ms; it asks within 2 s, if at all. */
const OUTCOME_MS = 60_000;
const ASKED_MS = 2_000;

/** What a webhook needs to know of a call that rings, or was given up. */
export interface Ringing {
  persona: Pick<Persona, 'twiml'>;
}

/** What is known of a CallSid. */
export class Known {
  /** The call, unless it is over. */
  call: Call | undefined;
  streams = 0;
  /** What its webhook's call had, if no stream claimed it. */
  givenUp: Ringing | undefined;
  /** The call of the last transfer that has ended, if it was said. */
  transfer: string | undefined;
  usedTokens: readonly string[] = [];
  /** Tokens that were issued here, with the time by `running()`. */
  #issued: readonly (readonly [token: string, at: number])[] = [];
  #outcome: { next: NextStep; at: number; asked: () => void } | undefined;

  issue(token: string): void {
    this.#issued = [...this.#issued, [token, running()] as const].slice(-MAX_TOKENS);
  }

  use(token: string): void {
    this.usedTokens = [...this.usedTokens, token].slice(-MAX_TOKENS);
  }

  /** Whether this process issued the token less than its lifetime ago, whatever the wall clock says. */
  isFresh(token: string): boolean {
    return this.#issued.some(([issued, at]) => issued === token && running() - at < TOKEN_MS);
  }

  /** Notes what Twilio is to do when it asks; resolves when it has asked, or after 2 s. */
  async setNext(next: NextStep): Promise<void> {
    const wasAsked = new Promise<void>((asked) => {
      this.#outcome = { next, at: performance.now(), asked };
    });
    await isDoneWithin(wasAsked, ASKED_MS);
  }

  /** Discards the outcome of an earlier stream. */
  clearNext(): void {
    this.#outcome?.asked();
    this.#outcome = undefined;
  }

  /** Returns what Twilio, which asks, is to do. */
  takeNext(): NextStep {
    const { next, at = 0, asked } = this.#outcome ?? {};
    asked?.();
    return performance.now() - at < OUTCOME_MS ? next : undefined;
  }
}
