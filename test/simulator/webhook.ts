import { sign } from '../../src/wire/auth.ts';
import { isObject } from '../../src/wire/json.ts';

/** Whom Twilio asks about a call, and whose call it is. */
export interface WebhookOptions {
  /** The origin to dial, such as `http://127.0.0.1:3000`. */
  url: string;
  /** The origin that Twilio is configured with, over which it signs; `url` by default. */
  publicUrl?: string;
  /** Given, the requests are signed with it. */
  authToken?: string;
  from?: string;
  to?: string;
}

/** What a webhook answered; without TwiML, `reason` says why not, and `warning` is Twilio's number for it. */
export interface Answer {
  httpStatus?: number;
  twiml?: string;
  warning?: number;
  reason: string;
}

/** The stream that TwiML connects a call to; `action` is the webhook to ask when the server has closed it. */
export interface Connect {
  url: string;
  parameters: Record<string, string>;
  action: string | undefined;
}

/** Asks a webhook how to go on with a call, in a POST as Twilio's; never rejects. */
export async function askWebhook(
  { url, publicUrl = url, authToken, from = '+14155550100', to = '+14155550199' }: WebhookOptions,
  path: string,
  call: { AccountSid: string; CallSid: string; CallStatus: string },
): Promise<Answer> {
  const form = {
    ...{ ...call, ApiVersion: '2010-04-01' },
    ...{ CallToken: 'token', Direction: 'inbound', StirVerstat: 'TN-Validation-Passed-A' },
    ...{ Called: to, CalledCity: '', CalledCountry: 'US', CalledState: 'CA', CalledZip: '' },
    ...{ Caller: from, CallerCity: '', CallerCountry: 'US', CallerState: 'CA', CallerZip: '' },
    ...{ From: from, FromCity: '', FromCountry: 'US', FromState: 'CA', FromZip: '' },
    ...{ To: to, ToCity: '', ToCountry: 'US', ToState: 'CA', ToZip: '' },
  };
  try {
    const address = new URL(path, publicUrl);
    const response = await fetch(onOrigin(url, address), {
      method: 'POST',
      body: new URLSearchParams(form),
      headers: signature(authToken, address.href, form),
      signal: AbortSignal.timeout(15_000),
    });
    const body = await response.text();
    const { status: httpStatus } = response;
    const type = response.headers.get('content-type') ?? 'no content type';
    const isXml = /^(text|application)\/xml\b/.test(type);
    if (response.ok && isXml) return { httpStatus, twiml: body, reason: '' };
    const reason = `${path} was answered with ${httpStatus}, ${type}`;
    return { httpStatus, warning: response.ok ? 12300 : 11200, reason };
  } catch (error) {
    const cause = error instanceof Error && isObject(error.cause) ? error.cause.code : undefined;
    return { warning: 11200, reason: `${path} was not answered: ${String(cause ?? error)}` };
  }
}

/** The stream that `twiml` connects the call to; undefined if there is none. */
export function readConnect(twiml: string): Connect | undefined {
  const url = elements(twiml, 'Stream')[0]?.url;
  if (url === undefined) return undefined;
  const parameters = elements(twiml, 'Parameter').map(({ name = '', value = '' }) => [name, value]);
  const action = elements(twiml, 'Connect')[0]?.action;
  return { url, parameters: Object.fromEntries(parameters), action };
}

/** The error that Twilio ends a call with if it can't open a stream there. */
export function urlFault(url: string): number | undefined {
  if (!url.startsWith('wss://')) return 31922;
  if (!URL.canParse(url)) return 31923;
  return url.includes('?') ? 31920 : undefined;
}

/** The header that signs a request to `address`; none without a token. */
export function signature(
  authToken: string | undefined,
  address: string,
  form?: Record<string, string>,
): Record<string, string> {
  return authToken === undefined ? {} : { 'X-Twilio-Signature': sign(authToken, address, form) };
}

/** The same path and query, at another origin. */
export function onOrigin(origin: string, { pathname, search }: URL): URL {
  const url = new URL(origin);
  url.pathname = pathname;
  url.search = search;
  return url;
}

/** The attributes of each element of that name. */
function elements(xml: string, name: string): Record<string, string>[] {
  const tags = xml.matchAll(new RegExp(`<${name}\\b((?:[^>"']|"[^"]*"|'[^']*')*)>`, 'g'));
  return Array.from(tags, ([, attributes = '']) => {
    const pairs = attributes.matchAll(/([\w:]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g);
    return Object.fromEntries(Array.from(pairs, ([, key, a, b]) => [key, unescapeXml(a ?? b ?? '')]));
  });
}

function unescapeXml(text: string): string {
  const named: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  return text.replace(
    /&(?:#x([\da-f]+)|#(\d+)|(\w+));/gi,
    (entity, hex?: string, decimal?: string, name?: string) => {
      if (name !== undefined) return named[name] ?? entity;
      return String.fromCodePoint(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16));
    },
  );
}
