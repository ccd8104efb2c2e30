import type { FastifyBaseLogger } from 'fastify';
import type { Reason } from './ending.ts';
import { isObject } from './wire/json.ts';
import type { Closed } from './wire/socket.ts';

/** What went wrong, in OpenAI's own words; either may be missing on the wire. */
export interface OpenAIError {
  code: string | undefined;
  message: string | undefined;
}

/** Why a session or a conversation is over, and where that was met: a close, or a handshake refused with a status. */
export interface Failure {
  reason: Reason;
  error?: OpenAIError | undefined;
  closed?: Closed | undefined;
  httpStatus?: number | undefined;
}

/** Reads the `error` of an event, of a failed response or of an HTTP body; undefined if there is none. Never throws. */
export function parseError(error: unknown): OpenAIError | undefined {
  if (!isObject(error)) return undefined;
  const { code, message } = error;
  return {
    code: typeof code === 'string' ? code : undefined,
    message: typeof message === 'string' ? message : undefined,
  };
}

/** How much of OpenAI's words is logged. */
const MOST_CHARACTERS = 500;

/** `text` as it may be logged: OpenAI quotes a key that it refuses, in part or whole. */
export function withoutKey(text: string, key: string): string {
  return text
    .slice(0, MOST_CHARACTERS)
    .replaceAll(key, '…')
    .replace(/\bsk-[^\s'",]+/g, 'sk-…');
}

const KEY =
  'OpenAI refuses the key: set OPENAI_API_KEY to a good one from https://platform.openai.com/api-keys';
const ACCOUNT = 'OpenAI has deactivated the account: see https://platform.openai.com/account';
const RIGHTS =
  'The OpenAI key may not use the Realtime API: give it the right, or set another OPENAI_API_KEY';
const NETWORK = 'OpenAI cannot be reached: check the network and OPENAI_REALTIME_URL';
const QUOTA = 'The OpenAI quota is used up: see https://platform.openai.com/settings/organization/billing';
const MODEL = 'OpenAI does not know this model: set OPENAI_REALTIME_MODEL to one that the key may use';

const REMEDIES = new Map<string | undefined, string>([
  ['invalid_api_key', KEY],
  ['account_deactivated', ACCOUNT],
  ['insufficient_permissions', RIGHTS],
  ['insufficient_quota', QUOTA],
  ['billing_hard_limit_reached', QUOTA],
  ['model_not_found', MODEL],
  ['invalid_model', MODEL],
  ['missing_model', MODEL],
]);

/** By WebSocket close code and by HTTP status, for where no words say more. */
const REMEDIES_BY_NUMBER = new Map<number | undefined, string>([
  [3000, KEY],
  [1013, QUOTA],
  [4004, MODEL],
  [401, KEY],
  [403, RIGHTS],
  [429, QUOTA],
]);

/** What the owner must do about it; undefined for whatever may pass by itself. */
export function remedy({ reason, error, closed, httpStatus }: Failure): string | undefined {
  // A close reason reads `invalid_request_error.invalid_api_key`.
  const name = error?.code ?? (closed?.reason || undefined)?.split('.').at(-1);
  if (name !== undefined) return REMEDIES.get(name);
  if (reason === 'dialling failed' && httpStatus === undefined) return NETWORK;
  return REMEDIES_BY_NUMBER.get(httpStatus ?? closed?.code);
}

/** Logs a failure under `message`, and then what the owner must do about it. */
export function logFailure(log: FastifyBaseLogger, failure: Failure, message: string): void {
  log.error(failure, message);
  const advice = remedy(failure);
  if (advice !== undefined) log.error(advice);
}

/** Whether nothing can go well on this key, so that trying again is in vain. */
export function isFatal(error: OpenAIError | undefined): boolean {
  const advice = REMEDIES.get(error?.code);
  return advice === KEY || advice === ACCOUNT || advice === QUOTA;
}
