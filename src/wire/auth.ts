import { createHmac, timingSafeEqual } from 'node:crypto';

/** Form parameters as Fastify parses them: a repeated name has several values. */
export type Parameters = Record<string, string | string[]>;

/** For how long a stream's token is good, in ms: Twilio connects as soon as it has the TwiML. */
export const TOKEN_MS = 60_000;

/**
 * What Twilio puts in `X-Twilio-Signature`: https://www.twilio.com/docs/usage/security#validating-requests
 *
 * `url` is the whole address with its query; `parameters` those of a form POST, none for a GET or a WebSocket.
 */
export function sign(authToken: string, url: string, parameters: Parameters = {}): string {
  return hmac(authToken, url + signedText(parameters));
}

/** Whether a header may be a signature at all. */
export function isSignature(header: unknown): header is string {
  return typeof header === 'string' && /^[A-Za-z0-9+/]{27}=$/.test(header);
}

/** Whether Twilio signed a request to any of `urls`, with or without the port, which Twilio may leave out. */
export function isSigned(
  authToken: string,
  signature: unknown,
  urls: string[],
  parameters: Parameters = {},
): boolean {
  const text = signedText(parameters);
  return urls.flatMap(portVariants).some((url) => isSame(hmac(authToken, url + text), signature));
}

function signedText(parameters: Parameters): string {
  const names = Object.keys(parameters).sort();
  const pairs = names.flatMap((name) => {
    const values = new Set([parameters[name] ?? []].flat());
    return [...values].sort().map((value) => name + value);
  });
  return pairs.join('');
}

function hmac(authToken: string, text: string): string {
  return createHmac('sha1', authToken).update(text, 'utf8').digest('base64');
}

/**
 * A token that admits the stream of `callSid` for a minute after `now`, a time in ms since 1970; it vouches for `details`,
 * which the stream brings along.
 */
export function issueToken(authToken: string, callSid: string, now: number, details = ''): string {
  const expires = now + TOKEN_MS;
  return `${expires}.${tokenMac(authToken, callSid, details, expires)}`;
}

/** Whether `token` was issued for `callSid` and `details`, by any process with this auth token, and hasn't expired. */
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

/** Compares in a time that tells nothing about where the two differ. */
function isSame(expected: string, given: unknown): boolean {
  if (typeof given !== 'string') return false;
  const [a, b] = [Buffer.from(expected), Buffer.from(given)];
  return a.length === b.length && timingSafeEqual(a, b);
}

const DEFAULT_PORTS: Record<string, string> = { http: '80', https: '443', ws: '80', wss: '443' };

function portVariants(url: string): string[] {
  const {
    scheme = '',
    host = '',
    port,
    rest = '',
  } = url.match(/^(?<scheme>\w+):\/\/(?<host>[^/:?]*)(?::(?<port>\d+))?(?<rest>.*)$/s)?.groups ?? {};
  const withoutPort = `${scheme}://${host}${rest}`;
  const withPort = `${scheme}://${host}:${port ?? DEFAULT_PORTS[scheme]}${rest}`;
  return [...new Set([url, withoutPort, withPort])];
}
