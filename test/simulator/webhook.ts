import { sign } from '../../src/wire/auth.ts';

/** Whom Twilio asks about a call. */
export interface WebhookOptions {
  /** The origin to dial, such as `http://127.0.0.1:3000`. */
  url: string;
  /** The origin that Twilio is configured with, over which it signs; `url` by default. */
  publicUrl?: string;
  /** Given, the requests are signed with it. */
  authToken?: string;
  /** Who calls, and which number, in E.164. */
  from?: string;
  to?: string;
}

/** What a webhook returned; without TwiML, `reason` says why not. */
export interface Answer {
  httpStatus?: number;
  twiml?: string;
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
    ...{ ...call, ApiVersion: '2010-04-01', CallToken: 'token', Direction: 'inbound' },
    ...{ Called: to, CalledCity: '', CalledCountry: 'US', Caller: from, CallerCity: '', CallerCountry: 'US' },
    ...{ To: to, ToCity: '', ToCountry: 'US', From: from, FromCity: '', FromCountry: 'US' },
    StirVerstat: 'TN-Validation-Passed-A',
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
    const { ok, status: httpStatus, headers } = response;
    const type = headers.get('content-type') ?? 'no content type';
    if (ok && /^(text|application)\/xml\b/.test(type)) return { httpStatus, twiml: body, reason: '' };
    return { httpStatus, reason: `${path} was answered with ${httpStatus}, ${type}` };
  } catch (error) {
    const { cause = error } = error instanceof Error ? error : {};
    return { reason: `${path} was not answered: ${cause}` };
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

/** The address that `twiml` has Twilio ask before it answers the call, and after how many ms; undefined if there is none. */
export function readRedirect(twiml: string): { url: string; afterMs: number } | undefined {
  const redirect = /<Response>(?:<Pause length="(?<s>\d+)"\/>)?<Redirect>(?<url>[^<]+)<\/Redirect>/.exec(
    twiml,
  );
  const { s = '0', url } = redirect?.groups ?? {};
  return url === undefined ? undefined : { url: unescapeXml(url), afterMs: Number(s) * 1_000 };
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
  return new URL(pathname + search, origin);
}

/** The attributes of each element of that name. */
function elements(xml: string, name: string): Record<string, string>[] {
  const tags = xml.matchAll(new RegExp(`<${name}\\b(?<attributes>(?:[^>"]|"[^"]*")*)>`, 'g'));
  return Array.from(tags, ({ groups }) => {
    const pairs = (groups?.attributes ?? '').matchAll(/(?<key>\w+)="(?<value>[^"]*)"/g);
    return Object.fromEntries(
      Array.from(pairs, ({ groups: { key = '', value = '' } = {} }) => [key, unescapeXml(value)]),
    );
  });
}

const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** `text` as it reads: `&amp;` as `&`. */
export function unescapeXml(text: string): string {
  return text.replace(/&\w+;/g, (entity) => ENTITIES[entity.slice(1, -1)] ?? entity);
}
