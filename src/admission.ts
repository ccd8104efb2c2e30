import type { Calls } from './calls.ts';
import type { Reason } from './failure.ts';
import { isTokenGood } from './wire/auth.ts';
import { isPhoneAudio, type Start } from './wire/twilio.ts';

/**
 * Why a stream that starts at `now`, a time in ms since 1970, is refused; undefined if it may begin its call.
 *
 * It must be in a telephone's audio, the only stream of its call, and, unless `authToken` is undefined, bring back the
 * token that this server, or another with the same `authToken`, issued when it answered the call.
 */
export function refusal(
  { start }: Start,
  authToken: string | undefined,
  calls: Pick<Calls, 'isLive' | 'isBusy'>,
  now: number,
): Reason | undefined {
  const { callSid, mediaFormat, customParameters } = start;
  if (authToken && !isTokenGood(authToken, callSid, customParameters.token, now)) return 'bad token';
  if (!isPhoneAudio(mediaFormat)) return 'not mu-law 8000 mono';
  if (calls.isLive(callSid)) return 'call already live';
  return calls.isBusy ? 'busy' : undefined;
}
