import { isObject } from './json.ts';
import type { Closed } from './socket.ts';

/** What went wrong, in OpenAI's own words; either may be missing on the wire. */
export interface OpenAIError {
  code: string | undefined;
  message: string | undefined;
}

/** Reads the `error` of an event, of a failed response or of an HTTP body; undefined if there is none. Never throws. */
export function parseError(error: unknown): OpenAIError | undefined {
  if (!isObject(error)) return undefined;
  const { code, message } = error;
  return {
    code: typeof code === 'string' ? code : undefined,
    // OpenAI quotes a refused key in part; no part of it belongs in a log.
    message: typeof message === 'string' ? message.replace(/\bsk-\S+/g, 'sk-…') : undefined,
  };
}

const KEY =
  'OpenAI refuses the key: set OPENAI_API_KEY to a good one from https://platform.openai.com/api-keys';
const ACCOUNT = 'OpenAI has deactivated the account: see https://platform.openai.com/account';
const RIGHTS =
  'The OpenAI key may not use the Realtime API: give it the right, or set another OPENAI_API_KEY';
const QUOTA = 'The OpenAI quota is used up: see https://platform.openai.com/settings/organization/billing';
const MODEL = 'OpenAI does not know this model: set OPENAI_REALTIME_MODEL to one that the key may use';

const REMEDIES: Record<string, string> = {
  invalid_api_key: KEY,
  account_deactivated: ACCOUNT,
  insufficient_permissions: RIGHTS,
  insufficient_quota: QUOTA,
  billing_hard_limit_reached: QUOTA,
  model_not_found: MODEL,
  invalid_model: MODEL,
  missing_model: MODEL,
};

/** By WebSocket close code and by HTTP status, for where no error says more. */
const REMEDIES_BY_NUMBER: Record<number, string> = {
  3000: KEY,
  1013: QUOTA,
  4004: MODEL,
  401: KEY,
  403: RIGHTS,
  429: QUOTA,
};

/** Where an error was met: how the socket closed, or the HTTP status of a refused handshake. */
export interface ErrorContext {
  error?: OpenAIError | undefined;
  closed?: Closed | undefined;
  httpStatus?: number | undefined;
}

/** What its owner must do about a key, quota or model problem; undefined for whatever may pass by itself. */
export function remedy({ error, closed, httpStatus }: ErrorContext): string | undefined {
  // A close reason reads `invalid_request_error.invalid_api_key`.
  const name = error?.code ?? closed?.reason.split('.').at(-1) ?? '';
  return REMEDIES[name] ?? REMEDIES_BY_NUMBER[httpStatus ?? closed?.code ?? 0];
}

/** Whether a response that failed with this would only fail again. */
export function isFatal(error: OpenAIError | undefined): boolean {
  return [
    'insufficient_quota',
    'invalid_api_key',
    'account_deactivated',
    'billing_hard_limit_reached',
  ].includes(error?.code ?? '');
}
