import { createHmac, timingSafeEqual } from 'node:crypto';

/** Form parameters as Fastify parses them: an array for a repeated name. */
export type Parameters = Record<string, string | string[]>;

/** Lifetime of a stream's token, in ms: Twilio connects as soon as it has the TwiML. */
export const TOKEN_MS = 60_000;

/**
 * Returns the `X-Twilio-Signature` of a request: https://www.twilio.com/docs/usage/security#validating-requests
 *
 * `url` has the query; `parameters` are those of a form POST, none for a GET or a WebSocket.
 */
export function sign(authToken: string, url: string, parameters: Parameters = {}): string {
  const text = url + signedText(parameters);
  return createHmac('sha1', authToken).update(text).digest('base64');
}

export function isSignature(header: unknown): header is string {
  return typeof header === 'string' && /^[A-Za-z0-9+/]{27}=$/.test(header);
}

/** Whether Twilio signed a request to any of `urls`, with or without the port: Twilio may leave it out. */
export function isSigned(
  authToken: string,
  signature: unknown,
  urls: string[],
  parameters: Parameters,
): boolean {
  const text = signedText(parameters);
  return urls.flatMap(portVariants).some((url) => isSame(sign(authToken, url + text), signature));
}

function signedText(parameters: Parameters): string {
  const pairs = Object.entries(parameters)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, values]) => [...new Set([values].flat())].sort().map((value) => name + value));
  return pairs.join('');
}

/** Returns a token for the stream of `callSid` and its `details`, good for a minute after `now`, in ms since 1970. */
export function issueToken(authToken: string, callSid: string, now: number, details = ''): string {
  const expires = now + TOKEN_MS;
  return `${expires}.${tokenMac(authToken, callSid, details, expires)}`;
}

/** Whether a process with this auth token issued `token` for `callSid` and `details`, and it hasn't expired. */
export function isTokenGood(
  authToken: string,
  callSid: string,
  token: string,
  now: number,
  details = '',
): boolean {
  const { expires, mac } = token.match(/^(?<expires>\d{1,15})\.(?<mac>.+)$/)?.groups ?? {};
  return isSame(tokenMac(authToken, callSid, details, Number(expires)), mac) && now < Number(expires);
}

function tokenMac(authToken: string, callSid: string, details: string, expires: number): string {
  return createHmac('sha256', authToken)
    .update(JSON.stringify(['media-stream', callSid, details, expires]))
    .digest('base64url');
}

/** Compares in constant time. */
function isSame(expected: string, given: unknown): boolean {
  if (typeof given !== 'string') return false;
  const [a, b] = [Buffer.from(expected), Buffer.from(given)];
  return a.length === b.length && timingSafeEqual(a, b);
}

const DEFAULT_PORTS: Record<string, string> = { http: '80', https: '443', ws: '80', wss: '443' };

function portVariants(url: string): string[] {
  const [, scheme = '', host = '', port, rest = ''] =
    url.match(/^(\w+):\/\/([^/:?]*)(?::(\d+))?(.*)$/s) ?? [];
  const withoutPort = `${scheme}://${host}${rest}`;
  const withPort = `${scheme}://${host}:${port ?? DEFAULT_PORTS[scheme]}${rest}`;
  return [...new Set([url, withoutPort, withPort])];
}
