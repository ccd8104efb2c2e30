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
  /** How long a refused handshake asks to wait. */
  retryAfterMs?: number | undefined;
}

/** How long to wait where OpenAI has had too many requests and doesn't say, and at most, in ms. */
const RETRY_AFTER_MS = 1_000;
const MAX_RETRY_AFTER_MS = 5_000;

/** `again`: it may pass. `give up`: it lasts until the owner mends it. `over`: neither, and another try changes nothing. */
type Verdict = 'again' | 'give up' | 'over';

/** What may befall any session that was ready. */
const LOSSES: Reason[] = ['openai closed', 'openai silent', 'openai stalled', 'response failed'];

/** Whether what failed is worth another try; how often is for whoever tries to say. */
export function verdict(failure: Failure): Verdict {
  const meaning = meaningOf(failure);
  if (meaning === PASSES || meaning === NETWORK) return 'again';
  if (meaning !== undefined) return 'give up';
  return LOSSES.includes(failure.reason) ? 'again' : 'over';
}

const PASSES = 'It passes';
const KEY =
  'OpenAI refuses the key: set OPENAI_API_KEY to a good one from https://platform.openai.com/api-keys';
const ACCOUNT = 'OpenAI has deactivated the account: see https://platform.openai.com/account';
const RIGHTS =
  'The OpenAI key may not use the Realtime API: give it the right, or set another OPENAI_API_KEY';
const NETWORK = 'OpenAI cannot be reached: check the network and OPENAI_REALTIME_URL';
const CA = "The certificate is of a CA that Node doesn't know, such as a proxy's: set NODE_EXTRA_CA_CERTS";
const CLOCK = 'The certificate of OPENAI_REALTIME_URL has expired or is not valid yet: check the clock';
const NAME = 'The certificate is for another name: check OPENAI_REALTIME_URL';
const INTERCEPTED =
  'A captive portal or a proxy answers for OpenAI: check the network and OPENAI_REALTIME_URL';
const QUOTA = 'The OpenAI quota is used up: see https://platform.openai.com/settings/organization/billing';
const MODEL = 'OpenAI does not know this model: set OPENAI_REALTIME_MODEL to one that the key may use';

/** What the owner can do, or that it passes: by OpenAI's and Node's names, otherwise by close code and HTTP status. */
const MEANINGS = new Map<string | number, string>([
  ['invalid_api_key', KEY],
  ['account_deactivated', ACCOUNT],
  ['insufficient_permissions', RIGHTS],
  ['insufficient_quota', QUOTA],
  ['billing_hard_limit_reached', QUOTA],
  ['model_not_found', MODEL],
  ['invalid_model', MODEL],
  ['missing_model', MODEL],
  ['rate_limit_exceeded', PASSES],
  ['server_error', PASSES],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', CA],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', CA],
  ['SELF_SIGNED_CERT_IN_CHAIN', CA],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', CA],
  ['CERT_HAS_EXPIRED', CLOCK],
  ['CERT_NOT_YET_VALID', CLOCK],
  ['ERR_TLS_CERT_ALTNAME_INVALID', NAME],
  [401, KEY],
  [403, RIGHTS],
  [429, QUOTA],
  [1006, NETWORK],
  [1011, PASSES],
  [1012, PASSES],
  [1013, PASSES],
  [3000, KEY],
  [4004, MODEL],
]);

/** How long to wait before the other try, in ms: as long as OpenAI says where it has had too many requests. */
export function retryAfterMs({ error, retryAfterMs }: Failure): number {
  if (retryAfterMs !== undefined) return retryAfterMs;
  if (error?.code !== 'rate_limit_exceeded') return 0;
  const wait = /try again in (?<minutes>\d+m(?!s))?(?:(?<amount>[\d.]+) ?(?<unit>ms|s))?/;
  const { minutes, amount, unit } = wait.exec(error.message ?? '')?.groups ?? {};
  if (minutes !== undefined) return MAX_RETRY_AFTER_MS;
  const ms = Number(amount) * (unit === 'ms' ? 1 : 1_000);
  return Number.isFinite(ms) ? Math.min(ms, MAX_RETRY_AFTER_MS) : RETRY_AFTER_MS;
}

/** Reads a Retry-After header: seconds, or a date. */
export function parseRetryAfter(header: string | undefined, now = Date.now()): number | undefined {
  const ms = /^\d+$/.test(header ?? '') ? Number(header) * 1_000 : Date.parse(header ?? '') - now;
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

/** What the owner can do about a failure; undefined where only OpenAI can do something. */
export function advice(failure: Failure): string | undefined {
  if (failure.reason === 'twilio lost') return 'Twilio, or a proxy that was reloaded, dropped the stream';
  const meaning = meaningOf(failure);
  const isOpenAIs = meaning === PASSES || (meaning === NETWORK && failure.reason !== 'dialling failed');
  return isOpenAIs ? undefined : meaning;
}

/** Logs a failure, with what the owner can do about it. */
export function logFailure(log: FastifyBaseLogger, failure: Failure, message: string): void {
  log.error({ ...failure, advice: advice(failure) }, message);
}

function meaningOf({ error, closed, httpStatus, retryAfterMs }: Failure): string | undefined {
  // A close reason reads `invalid_request_error.invalid_api_key`, or is a sentence.
  const names = (error?.code ?? closed?.reason ?? '').split('.').filter((name) => /^\w+$/.test(name));
  const meaning = names.map((name) => MEANINGS.get(name)).find((known) => known !== undefined);
  if (meaning !== undefined) return meaning;
  const number = httpStatus ?? closed?.code ?? 0;
  if ((number >= 500 && number < 600) || (number === 429 && retryAfterMs !== undefined)) return PASSES;
  if (number >= 200 && number < 400) return INTERCEPTED;
  // OpenAI's names, in small letters unlike Node's, say more than a number, unless that is a gateway's own.
  const isNamed = names.some((name) => /^[a-z]/.test(name)) && number !== 401 && number !== 403;
  return isNamed ? undefined : MEANINGS.get(number);
}
