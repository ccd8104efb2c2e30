import type { Calls } from './calls.ts';
import type { Reason } from './failure.ts';
import { isTokenGood } from './wire/auth.ts';
import { isPhoneAudio, type Start } from './wire/twilio.ts';

/** How many streams a call may have, one after another: it may come back, from a menu for example. */
const MAX_STREAMS = 5;
/** How many of the last calls are remembered. */
const MAX_CALLS = 10_000;

/** Which tokens the last calls have used up: each admits one stream. */
export class UsedTokens {
  readonly #byCall = new Map<string, string[]>();

  of(callSid: string): readonly string[] {
    return this.#byCall.get(callSid) ?? [];
  }

  add(callSid: string, token: string): void {
    const tokens = [...this.of(callSid), token];
    this.#byCall.delete(callSid);
    this.#byCall.set(callSid, tokens);
    const [oldest] = this.#byCall.keys();
    if (oldest !== undefined && this.#byCall.size > MAX_CALLS) this.#byCall.delete(oldest);
  }

  /** Whether a call has had all the streams that it may have. */
  areAllUsed(callSid: string): boolean {
    return this.of(callSid).length >= MAX_STREAMS;
  }
}

/** What is known when a stream asks to be let in; `now` is in ms since 1970. */
export interface Circumstances {
  /** What tokens are made with; undefined where none are asked for. */
  authToken: string | undefined;
  calls: Pick<Calls, 'isLive' | 'isBusy'>;
  usedTokens: Pick<UsedTokens, 'of' | 'areAllUsed'>;
  now: number;
}

/**
 * Why a stream that starts is refused; undefined if it may begin its call.
 *
 * It must be in a telephone's audio, the only stream of its call, and bring back a token that this server, or another with
 * the same `authToken`, issued when it answered the call, and that hasn't been used here before.
 */
export function refusal({ start }: Start, circumstances: Circumstances): Reason | undefined {
  const { callSid, mediaFormat, customParameters } = start;
  const { authToken, calls, usedTokens, now } = circumstances;
  const { token = '' } = customParameters;
  if (authToken !== undefined) {
    if (!isTokenGood(authToken, callSid, token, now)) return 'bad token';
    if (usedTokens.of(callSid).includes(token)) return 'token already used';
    if (usedTokens.areAllUsed(callSid)) return 'too many streams';
  }
  if (!isPhoneAudio(mediaFormat)) return 'not mu-law 8000 mono';
  if (calls.isLive(callSid)) return 'call already live';
  return calls.isBusy ? 'busy' : undefined;
}
