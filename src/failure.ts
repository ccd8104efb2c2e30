import type { FastifyBaseLogger } from 'fastify';
import type { OpenAIError } from './wire/openai.ts';
import type { Close } from './wire/socket.ts';

/** How a call ended, as far as its caller should hear of it: `completed` if there is nobody any more who could. */
export type Outcome = 'completed' | 'failed' | 'time limit' | 'hung up' | 'put through';

const completed = { outcome: 'completed', code: 1000 } as const;
const failed = { outcome: 'failed', code: 1011 } as const;
const refused = { outcome: 'failed', code: 1008 } as const;
const overloaded = { outcome: 'failed', code: 1013 } as const;

/** Every reason for which a stream ends: the outcome of its call, and the close code that Twilio gets. */
export const ENDINGS = {
  'twilio stopped': completed,
  'twilio closed': completed,
  'twilio lost': failed,
  'twilio silent': failed,
  'twilio stalled': overloaded,
  'twilio flooded': refused,
  'no start': refused,
  'bad token': refused,
  'token already used': refused,
  'too many streams': refused,
  'not mu-law 8000 mono': refused,
  'call already live': refused,
  busy: overloaded,
  'too many ringing': overloaded,
  'dialling failed': failed,
  'not ready in time': failed,
  'session.update rejected': failed,
  'session not audio/pcmu': failed,
  'openai closed': failed,
  'openai error': failed,
  'openai silent': failed,
  'openai stalled': overloaded,
  'response failed': failed,
  'no reply': failed,
  'assistant hung up': { outcome: 'hung up', code: 1000 },
  'put through': { outcome: 'put through', code: 1000 },
  'nobody there': { outcome: 'hung up', code: 1000 },
  'not claimed': completed,
  'time limit': { outcome: 'time limit', code: 1000 },
  shutdown: { outcome: 'failed', code: 1001 },
} as const satisfies Record<string, { outcome: Outcome; code: number }>;

export type Reason = keyof typeof ENDINGS;

/** Why a session or a conversation failed, and where that was met: a close, or a handshake refused with a status. */
export interface Failure {
  reason: Reason;
  error?: OpenAIError | undefined;
  closed?: Close | undefined;
  httpStatus?: number | undefined;
}

/** Pause before a retry if OpenAI has had too many requests and doesn't say how long to wait, in ms. */
const RETRY_AFTER_MS = 1_000;

/** `again`: it may pass. `give up`: it lasts until the owner mends it. `over`: neither, and another try changes nothing. */
type Verdict = 'again' | 'give up' | 'over';

/** Whether what failed is worth another try; how often is for whoever tries to say. */
export function verdict(failure: Failure): Verdict {
  if (ownersFault(failure) !== undefined) return 'give up';
  switch (failure.reason) {
    case 'dialling failed':
      return wasCutOff(failure) ? 'again' : 'over';
    case 'openai closed':
    case 'openai silent':
    case 'openai stalled':
    case 'response failed':
      return 'again';
    default:
      return 'over';
  }
}

const KEY =
  'OpenAI refuses the key: set OPENAI_API_KEY to a good one from https://platform.openai.com/api-keys';
const ACCOUNT = 'OpenAI has deactivated the account: see https://platform.openai.com/account';
const RIGHTS =
  'The OpenAI key may not use the Realtime API: give it the right, or set another OPENAI_API_KEY';
const NETWORK = 'OpenAI cannot be reached: check the network and OPENAI_REALTIME_URL';
const QUOTA = 'The OpenAI quota is used up: see https://platform.openai.com/settings/organization/billing';
const MODEL = 'OpenAI does not know this model: set OPENAI_REALTIME_MODEL to one that the key may use';

const FAULTS_BY_NAME = new Map([
  ['invalid_api_key', KEY],
  ['account_deactivated', ACCOUNT],
  ['insufficient_permissions', RIGHTS],
  ['insufficient_quota', QUOTA],
  ['billing_hard_limit_reached', QUOTA],
  ['model_not_found', MODEL],
  ['invalid_model', MODEL],
  ['missing_model', MODEL],
]);

/** By HTTP status and by WebSocket close code, for where no words say more. */
const FAULTS_BY_NUMBER = new Map([
  [401, KEY],
  [403, RIGHTS],
  [429, QUOTA],
  [3000, KEY],
  [4004, MODEL],
]);

/** Pause before a retry, in ms: as long as OpenAI says if it has had too many requests. */
export function retryAfterMs({ error }: Failure): number {
  if (error?.code !== 'rate_limit_exceeded') return 0;
  const wait = /try again in (?:(?<minutes>\d+)m(?!s))?(?:(?<amount>[\d.]+) ?(?<unit>ms|s))?/;
  const { minutes, amount, unit } = wait.exec(error.message ?? '')?.groups ?? {};
  if (minutes === undefined && amount === undefined) return RETRY_AFTER_MS;
  return Number(minutes ?? 0) * 60_000 + Number(amount ?? 0) * (unit === 'ms' ? 1 : 1_000);
}

/** What the owner can do about a failure; undefined where only OpenAI can do something. */
export function advice(failure: Failure): string | undefined {
  const isUnreachable = failure.reason === 'dialling failed' && failure.httpStatus === undefined;
  return ownersFault(failure) ?? (isUnreachable && wasCutOff(failure) ? NETWORK : undefined);
}

/** Logs a failure, with what the owner can do about it. */
export function logFailure(log: FastifyBaseLogger, failure: Failure, message: string): void {
  log.error({ ...failure, advice: advice(failure) }, message);
}

function ownersFault({ error, closed, httpStatus }: Failure): string | undefined {
  // A close reason reads `invalid_request_error.invalid_api_key`.
  const name = error?.code ?? (closed?.reason || undefined)?.split('.').at(-1);
  const isUnauthorized = httpStatus === 401 || httpStatus === 403;
  // Where OpenAI gives a reason, none is guessed from a number, unless it is one of a gateway's own.
  const byNumber =
    name === undefined || isUnauthorized ? FAULTS_BY_NUMBER.get(httpStatus ?? closed?.code ?? 0) : undefined;
  return FAULTS_BY_NAME.get(name ?? '') ?? byNumber;
}

/** Whether a handshake was refused, reset, timed out or met a 5xx, rather than told why. */
function wasCutOff({ error, closed, httpStatus }: Failure): boolean {
  if (httpStatus !== undefined) return httpStatus >= 500;
  return closed?.code === 1006 && error?.code === undefined;
}
