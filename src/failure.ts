import type { FastifyBaseLogger } from 'fastify';
import type { OpenAIError } from './wire/openai.ts';
import type { Close } from './wire/socket.ts';

const completed = { outcome: 'completed', code: 1000 } as const;
const failed = { outcome: 'failed', code: 1011 } as const;
const refused = { outcome: 'failed', code: 1008 } as const;
const overloaded = { outcome: 'failed', code: 1013 } as const;

/** The reasons why streams end: each with Twilio's close code, and the outcome of the call, `completed` if the caller is gone. */
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
} as const;

export type Reason = keyof typeof ENDINGS;

/** Why a session or a conversation failed, with its close or the status of its rejected handshake. */
export interface Failure {
  reason: Reason;
  error?: OpenAIError | undefined;
  closed?: Close | undefined;
  httpStatus?: number | undefined;
  /** The Retry-After of a rejected handshake, in ms. */
  retryAfterMs?: number | undefined;
}

/** Pause before a retry if OpenAI limits the rate and names no time, in ms. */
const RETRY_AFTER_MS = 1_000;

/** What may befall any session that was ready. */
const LOSSES: Reason[] = ['openai closed', 'openai silent', 'openai stalled', 'response failed'];

/** Returns `again` if a failure may pass, `give up` if it lasts until the owner acts, `over` if a retry changes nothing. */
export function verdict(failure: Failure): 'again' | 'give up' | 'over' {
  const meaning = meaningOf(failure);
  if (meaning === PASSES || meaning === NETWORK) return 'again';
  if (meaning !== undefined) return 'give up';
  return LOSSES.includes(failure.reason) ? 'again' : 'over';
}

const PASSES = 'It passes';
const NETWORK = 'OpenAI cannot be reached: check the network and OPENAI_REALTIME_URL';
const INTERCEPTED =
  'Not OpenAI answers: check for a captive portal or an inspecting proxy, and OPENAI_REALTIME_URL';
const KEY =
  'OpenAI refuses the key: set OPENAI_API_KEY to a good one from https://platform.openai.com/api-keys';
const ACCOUNT = 'OpenAI has deactivated the account: see https://platform.openai.com/account';
const RIGHTS =
  'The OpenAI key may not use the Realtime API: give it the right, or set another OPENAI_API_KEY';
const QUOTA = 'The OpenAI quota is used up: see https://platform.openai.com/settings/organization/billing';
const MODEL = 'OpenAI does not know this model: set OPENAI_REALTIME_MODEL to one that the key may use';
const ADDRESS = 'No Realtime API is there: check OPENAI_REALTIME_URL';
const CA =
  'A CA that Node does not know signed for OpenAI, such as an inspecting proxy: set NODE_EXTRA_CA_CERTS to its file';
const CLOCK = 'The certificate of OPENAI_REALTIME_URL has expired or is not valid yet: check the clock';
const NAME = 'The certificate is for another name: check OPENAI_REALTIME_URL';

/** What failures mean, or what the owner can do: by OpenAI's and Node's names, or else by close code and HTTP status. */
const MEANINGS: Record<string, (string | number)[]> = {
  [PASSES]: ['rate_limit_exceeded', 'server_error', 408, 1011, 1012, 1013],
  [NETWORK]: [1006],
  [KEY]: ['invalid_api_key', 401, 3000],
  [ACCOUNT]: ['account_deactivated'],
  [RIGHTS]: ['insufficient_permissions', 403],
  [QUOTA]: ['insufficient_quota', 'billing_hard_limit_reached', 429],
  [MODEL]: ['model_not_found', 'invalid_model', 'missing_model', 4004],
  [ADDRESS]: [404],
  [CA]: [
    'UNABLE_TO_GET_ISSUER_CERT',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'SELF_SIGNED_CERT_IN_CHAIN',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
  ],
  [CLOCK]: ['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'],
  [NAME]: ['ERR_TLS_CERT_ALTNAME_INVALID'],
};

/** Returns the pause before a retry that OpenAI asks for, in ms. */
export function retryAfterMs({ error, retryAfterMs }: Failure): number {
  if (retryAfterMs !== undefined) return retryAfterMs;
  if (error?.code !== 'rate_limit_exceeded') return 0;
  const wait = /try again in (?:(?<minutes>\d+)m(?!s))?(?:(?<amount>[\d.]+) ?(?<unit>ms|s))?/;
  const { minutes, amount, unit } = wait.exec(error.message ?? '')?.groups ?? {};
  if (minutes === undefined && amount === undefined) return RETRY_AFTER_MS;
  return Number(minutes ?? 0) * 60_000 + Number(amount ?? 0) * (unit === 'ms' ? 1 : 1_000);
}

/** Returns the time in a Retry-After header, seconds or a date, in ms. */
export function parseRetryAfter(header: string | undefined, now = Date.now()): number | undefined {
  const ms = /^\d+$/.test(header ?? '') ? Number(header) * 1_000 : Date.parse(header ?? '') - now;
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

/** Returns the owner's remedy for a failure; undefined if there is none. */
export function advice(failure: Failure): string | undefined {
  if (failure.reason === 'twilio lost') return 'Twilio, or a proxy that was reloaded, dropped the stream';
  if (failure.reason === 'twilio flooded') return 'Twilio does not send so much: renew the auth token';
  const meaning = meaningOf(failure);
  const isOpenAIs = meaning === PASSES || (meaning === NETWORK && failure.reason !== 'dialling failed');
  return isOpenAIs ? undefined : meaning;
}

export function logFailure(log: FastifyBaseLogger, failure: Failure, message: string): void {
  log.error({ ...failure, advice: advice(failure) }, message);
}

function meaningOf({ error, closed, httpStatus, retryAfterMs }: Failure): string | undefined {
  // A close reason reads `invalid_request_error.invalid_api_key`, or is a sentence.
  const names = (error?.code ?? closed?.reason ?? '').split('.').filter((name) => /^\w+$/.test(name));
  const meaning = names.map(meaningBy).find((known) => known !== undefined);
  if (meaning !== undefined) return meaning;
  const number = httpStatus ?? closed?.code ?? 0;
  if ((number >= 500 && number < 600) || (number === 429 && retryAfterMs !== undefined)) return PASSES;
  if (number >= 200 && number < 400) return INTERCEPTED;
  // A name of OpenAI's, in small letters, overrides a number, unless a gateway may have chosen it.
  const isNamed = names.some((name) => /^[a-z]/.test(name)) && number !== 401 && number !== 403;
  return isNamed ? undefined : meaningBy(number);
}

function meaningBy(name: string | number): string | undefined {
  return Object.keys(MEANINGS).find((meaning) => MEANINGS[meaning]?.includes(name));
}
