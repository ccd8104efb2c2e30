import { dropOldest } from '../drop-oldest.ts';
import type { Reason } from '../failure.ts';
import { isTokenGood } from '../wire/auth.ts';
import { isPhoneAudio, type Start } from '../wire/twilio.ts';
import type { Calls } from './calls.ts';

/** How many streams a call may have, one after another: it may come back, from a menu for example. */
const MAX_STREAMS = 5;
/** How many of the last calls are remembered. */
const MAX_CALLS = 10_000;

interface CallUsage {
  tokens: readonly string[];
  /** How many were begun or prepared. */
  streams: number;
  wasGivenUp: boolean;
}

/** What the last calls have used up: the tokens, each of which admits one stream, and how many streams they had. */
export class Used {
  readonly #byCall = new Map<string, CallUsage>();

  hasToken(callSid: string, token: string): boolean {
    return this.#of(callSid).tokens.includes(token);
  }

  /** A stream begins; one that was prepared was counted then. */
  token(callSid: string, token: string, isPrepared: boolean): void {
    const { tokens, streams, wasGivenUp } = this.#of(callSid);
    this.#set(callSid, { tokens: [...tokens, token], streams: streams + (isPrepared ? 0 : 1), wasGivenUp });
  }

  preparation(callSid: string): void {
    const used = this.#of(callSid);
    this.#set(callSid, { ...used, streams: used.streams + 1 });
  }

  /** Nobody came for what was prepared: it isn't prepared again. */
  giveUp(callSid: string): void {
    this.#set(callSid, { ...this.#of(callSid), wasGivenUp: true });
  }

  mayPrepare(callSid: string): boolean {
    return !this.areAllStreams(callSid) && !this.#of(callSid).wasGivenUp;
  }

  /** Whether a call has had all the streams that it may have. */
  areAllStreams(callSid: string): boolean {
    return this.#of(callSid).streams >= MAX_STREAMS;
  }

  #of(callSid: string): CallUsage {
    return this.#byCall.get(callSid) ?? { tokens: [], streams: 0, wasGivenUp: false };
  }

  #set(callSid: string, used: CallUsage): void {
    this.#byCall.delete(callSid);
    this.#byCall.set(callSid, used);
    dropOldest(this.#byCall, MAX_CALLS);
  }
}

/** What is known when a stream asks to be let in; `now` is in ms since 1970. */
export interface Circumstances {
  /** What tokens are made with; undefined where none are asked for. */
  authToken: string | undefined;
  calls: Pick<Calls, 'isLive' | 'isBusy'>;
  used: Pick<Used, 'hasToken' | 'areAllStreams'>;
  /** Whether the call was prepared, and its place taken, when it was answered. */
  isPrepared: boolean;
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
  const { authToken, calls, used, isPrepared, now } = circumstances;
  const { token = '', call = '' } = customParameters;
  if (authToken !== undefined) {
    if (!isTokenGood(authToken, callSid, token, now, call)) return 'bad token';
    if (used.hasToken(callSid, token)) return 'token already used';
    if (!isPrepared && used.areAllStreams(callSid)) return 'too many streams';
  }
  if (!isPhoneAudio(mediaFormat)) return 'not mu-law 8000 mono';
  if (isPrepared) return undefined;
  if (calls.isLive(callSid)) return 'call already live';
  return calls.isBusy ? 'busy' : undefined;
}
