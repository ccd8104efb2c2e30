import type { IncomingMessage } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from '../config.ts';
import type { ThrottledLog } from '../log.ts';
import { isSignature, isSigned, type Parameters } from '../wire/auth.ts';
import { loggable } from '../wire/loggable.ts';

const REJECTED = 'request rejected';
const UNSIGNED = 'unsigned request rejected';

/** Admits what Twilio signed: https://www.twilio.com/docs/usage/security#validating-requests */
export class Signatures {
  readonly #config: Config;
  readonly #refusals: ThrottledLog;

  constructor(config: Config, refusals: ThrottledLog) {
    this.#config = config;
    this.#refusals = refusals;
  }

  /** The address at which Twilio reaches this server. A stranger can choose the headers, but not sign the address. */
  base(request: FastifyRequest): string {
    return this.#config.publicUrl ?? requestedBase(request);
  }

  /** Rejects what can't be signed, before a byte of its body is read. */
  screen = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const isOpen = this.#config.twilioAuthToken === undefined;
    // A server that is open to all is not open to any web page that its owner visits.
    if (isOpen && isFromPage(request)) return this.#refuse(request, reply, () => 'a web page asked');
    if (isOpen || isSignature(request.headers['x-twilio-signature'])) return;
    // A kind of its own: strangers hide nothing that Twilio, or a wrong token, has caused.
    return this.#refuse(request, reply, () => "it has no signature of Twilio's", UNSIGNED);
  };

  /** Rejects what Twilio didn't sign. */
  check = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    if (this.#isSignedFor(request, this.base(request))) return;
    return this.#refuse(request, reply, () => this.#likeliestCause(request));
  };

  /** Logs a request that nothing takes, with its path if Twilio may have signed it: strangers ask for anything. */
  logRejected({ method, url = '', headers }: IncomingMessage, status: number): void {
    const isTwilios = isSignature(headers['x-twilio-signature']);
    const advice = status === 404 ? 'nothing is here: the webhook is /incoming-call' : undefined;
    const fields = { status, ...(isTwilios && { method, path: loggable(url.replace(/\?.*/s, '')), advice }) };
    this.#refusals.warn(() => fields, isTwilios ? REJECTED : UNSIGNED);
  }

  #isSignedFor(request: FastifyRequest, base: string): boolean {
    const { twilioAuthToken } = this.#config;
    if (twilioAuthToken === undefined) return true;
    // The host may be signed as it was written, or in small letters.
    const bases = [base, URL.canParse(base) ? new URL(base).href.replace(/\/$/, '') : base];
    const urls = bases.flatMap((each) => signedUrls(request, each));
    return isSigned(twilioAuthToken, request.headers['x-twilio-signature'], urls, form(request));
  }

  /** What the owner should check first; the response has no hint. */
  #likeliestCause(request: FastifyRequest): string {
    const base = this.base(request);
    const other = /^https:/i.test(base) ? 'http:' : 'https:';
    if (this.#isSignedFor(request, base.replace(/^https?:/i, other))) {
      return `Twilio asked by ${other}//: have the proxy send X-Forwarded-Proto, or set PUBLIC_URL`;
    }
    const token = 'TWILIO_AUTH_TOKEN is not that of the account';
    if (this.#config.publicUrl === undefined) {
      return `${token}, or the proxy changes the host, the path or the query: set PUBLIC_URL, with the path that it cuts off`;
    }
    const wrongUrl = 'PUBLIC_URL is not what Twilio asked for';
    if (this.#isSignedFor(request, requestedBase(request))) return wrongUrl;
    return `${token}, ${wrongUrl}, or the proxy changes the path or the query`;
  }

  #refuse(request: FastifyRequest, reply: FastifyReply, cause: () => string, kind = REJECTED): FastifyReply {
    const [assumed = ''] = signedUrls(request, this.base(request));
    // A query may have the caller's number in it.
    const fields = () => ({ assumed: loggable(assumed.replace(/\?.*/s, '')), cause: cause() });
    this.#refusals.warn(fields, kind);
    return reply.code(403).send();
  }
}

/** The form that was posted: Twilio signs it with the address. */
export function form(request: FastifyRequest): Parameters {
  return Object.fromEntries(Object.entries(request.body ?? {}));
}

export function streamUrl(url: string): string {
  return url.replace(/^https?:/i, 'wss:');
}

/** Twilio may sign the address of a stream with a slash at its end. */
function signedUrls(request: FastifyRequest, base: string): string[] {
  if (!request.ws) return [base + request.originalUrl];
  const url = streamUrl(base + request.originalUrl.replace(/\/?(\?.*)?$/, ''));
  return [url, `${url}/`];
}

/** Whether a page's script made the request. Twilio sends neither header; a browser sends one with each script's request. */
function isFromPage({ headers }: FastifyRequest): boolean {
  return headers.origin !== undefined || !['none', undefined].includes(headers['sec-fetch-site']?.toString());
}

function requestedBase({ headers, protocol }: FastifyRequest): string {
  const scheme = firstValue(headers['x-forwarded-proto']) ?? protocol;
  const host = firstValue(headers['x-forwarded-host']) ?? headers.host ?? '';
  return `${scheme === 'https' ? 'https' : 'http'}://${host}`;
}

/** Each proxy appends its own value to the header: the first is the client's. */
function firstValue(header: string | string[] | undefined): string | undefined {
  return header?.toString().split(',')[0]?.trim() || undefined;
}
