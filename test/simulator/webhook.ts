import { sign } from '../../src/wire/auth.ts';

/** The server's webhook, and the parties of a call. */
export interface WebhookOptions {
  /** The origin to dial, such as `http://127.0.0.1:3000`. */
  url: string;
  /** The path and the query of the webhook; `/incoming-call` by default. */
  path?: string;
  /** The origin that Twilio signs for; `url` by default. */
  publicUrl?: string;
  /** Signs the requests. */
  authToken?: string;
  /** The caller's and the called number, in E.164. */
  from?: string;
  to?: string;
  direction?: 'inbound' | 'outbound';
  /** The outcome of a put-through; `completed` by default. */
  dialled?: (typeof DIALLED)[number];
}

/** Twilio's DialCallStatus. */
export const DIALLED = ['completed', 'busy', 'no-answer', 'failed', 'canceled'] as const;
const OUR_NUMBER = '+14155550199';
const CALLERS_NUMBER = '+14155550100';

/** A webhook's answer; `reason` says why there is no TwiML. */
export interface Answer {
  httpStatus?: number;
  twiml?: string;
  reason: string;
}

/** The stream that TwiML connects; `action` is the webhook to ask once the server has closed it. */
export interface Connect {
  url: string;
  parameters: Record<string, string>;
  action: string | undefined;
}

/** Posts a form like Twilio's, with `fields` of this request. Never rejects. */
export async function askWebhook(
  { url, publicUrl = url, authToken, direction = 'inbound', ...numbers }: WebhookOptions,
  path: string,
  fields: Record<string, string>,
): Promise<Answer> {
  const isInbound = direction === 'inbound';
  const { from = isInbound ? CALLERS_NUMBER : OUR_NUMBER, to = isInbound ? OUR_NUMBER : CALLERS_NUMBER } =
    numbers;
  const form = {
    ...{ ...fields, ApiVersion: '2010-04-01', Direction: isInbound ? direction : 'outbound-api' },
    ...{ Called: to, CalledCity: '', CalledCountry: 'US', Caller: from, CallerCity: '', CallerCountry: 'US' },
    ...{ To: to, ToCity: '', ToCountry: 'US', From: from, FromCity: '', FromCountry: 'US' },
    ...(isInbound && { CallToken: 'token', StirVerstat: 'TN-Validation-Passed-A' }),
  };
  try {
    const isWithoutBase = path.startsWith('/') && !path.startsWith(`${basePath(publicUrl)}/`);
    const address = new URL(isWithoutBase ? basePath(publicUrl) + path : path, publicUrl);
    const response = await fetch(onOrigin(url, address, publicUrl), {
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

/** The stream that `twiml` connects, unless the call ends before it. */
export function readConnect(twiml: string): Connect | undefined {
  const [verbs = ''] = twiml.replace(/<!--.*?-->/gs, '').split(/<(?:Hangup|Reject)\b/);
  // The owner's own `<Start><Stream>` may precede it.
  const connect = /<Connect\b.*<\/Connect>/s.exec(verbs)?.[0] ?? '';
  const url = elements(connect, 'Stream')[0]?.url;
  if (url === undefined) return undefined;
  const parameters = elements(connect, 'Parameter').map(({ name = '', value = '' }) => [name, value]);
  const action = elements(connect, 'Connect')[0]?.action;
  return { url, parameters: Object.fromEntries(parameters), action };
}

/** The number or address that `twiml` puts the caller through to. */
export function readDial(twiml: string): { to: string; callerId?: string; action?: string } | undefined {
  const to = /<Dial\b[^>]*>\s*(?:<(?:Number|Sip|Client)\b[^>]*>)?(?<to>[^<]+)/.exec(twiml)?.groups?.to;
  return to === undefined ? undefined : { ...elements(twiml, 'Dial')[0], to: unescapeXml(to) };
}

/** The address that `twiml` redirects to before it answers, and after how many ms. */
export function readRedirect(twiml: string): { url: string; afterMs: number } | undefined {
  const redirect = /<Response>(?:<Pause length="(?<s>\d+)"\/>)?<Redirect>(?<url>[^<]+)<\/Redirect>/.exec(
    twiml,
  );
  const { s = '0', url } = redirect?.groups ?? {};
  return url === undefined ? undefined : { url: unescapeXml(url), afterMs: Number(s) * 1_000 };
}

export function signature(
  authToken: string | undefined,
  address: string,
  form?: Record<string, string>,
): Record<string, string> {
  return authToken === undefined ? {} : { 'X-Twilio-Signature': sign(authToken, address, form) };
}

/** The same path and query at `origin`; behind the proxy at `publicUrl`, without the path that it cuts off. */
export function onOrigin(origin: string, { pathname, search }: URL, publicUrl = origin): URL {
  const isBehind = new URL(origin).host !== new URL(publicUrl).host;
  const base = isBehind ? basePath(publicUrl) : '';
  return new URL((pathname.startsWith(`${base}/`) ? pathname.slice(base.length) : pathname) + search, origin);
}

function basePath(publicUrl: string): string {
  return new URL(publicUrl).pathname.replace(/\/+$/, '');
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

export function unescapeXml(text: string): string {
  return text.replace(/&\w+;/g, (entity) => ENTITIES[entity.slice(1, -1)] ?? entity);
}
