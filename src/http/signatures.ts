import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from '../config.ts';
import type { ThrottledLog } from '../log.ts';
import { isSignature, isSigned, type Parameters } from '../wire/auth.ts';
import { loggable } from '../wire/loggable.ts';

/** An address that Twilio reaches this server at. */
interface Origin {
  protocol: 'https:' | 'http:';
  host: string;
}

/** Lets in what Twilio signed: https://www.twilio.com/docs/usage/security#validating-requests */
export class Signatures {
  readonly #config: Config;
  readonly #refusals: ThrottledLog;

  constructor(config: Config, refusals: ThrottledLog) {
    this.#config = config;
    this.#refusals = refusals;
  }

  /**
   * Where Twilio reached this server: PUBLIC_URL, otherwise what the proxy in front was asked for, otherwise the Host.
   *
   * Whoever sends the headers chooses the address, but can't sign it: with a wrong one, no signature is valid.
   */
  origin(request: FastifyRequest): Origin {
    const { publicUrl } = this.#config;
    if (publicUrl === undefined) return requestedOrigin(request);
    return { protocol: publicUrl.protocol === 'http:' ? 'http:' : 'https:', host: publicUrl.host };
  }

  /** Refuses what can't be signed before a byte of its body is read. */
  screen = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    if (this.#config.twilioAuthToken === undefined || isSignature(signature(request))) return;
    return this.#refuse(request, reply, () => "it has no signature of Twilio's");
  };

  /** Refuses what Twilio didn't sign. */
  check = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    if (this.#isSignedFor(request, this.origin(request))) return;
    return this.#refuse(request, reply, () => this.#likeliestCause(request));
  };

  #isSignedFor(request: FastifyRequest, origin: Origin): boolean {
    const { twilioAuthToken } = this.#config;
    if (twilioAuthToken === undefined) return true;
    return isSigned(twilioAuthToken, signature(request), signedUrls(request, origin), form(request));
  }

  /** What the owner should look at first; who asked gets no hint. */
  #likeliestCause(request: FastifyRequest): string {
    const assumed = this.origin(request);
    const other = assumed.protocol === 'https:' ? 'http:' : 'https:';
    if (this.#isSignedFor(request, { ...assumed, protocol: other })) {
      return `Twilio asked by ${other}//: have the proxy send X-Forwarded-Proto, or set PUBLIC_URL`;
    }
    if (this.#config.publicUrl === undefined) {
      return 'TWILIO_AUTH_TOKEN is not that of the account, or the proxy hides the host: set PUBLIC_URL';
    }
    if (this.#isSignedFor(request, requestedOrigin(request)))
      return 'PUBLIC_URL is not what Twilio asked for';
    return 'TWILIO_AUTH_TOKEN is not that of the account, or PUBLIC_URL is not what Twilio asked for';
  }

  #refuse(request: FastifyRequest, reply: FastifyReply, cause: () => string): FastifyReply {
    const { protocol, host } = this.origin(request);
    const fields = () => ({ assumed: loggable(`${protocol}//${host}`), cause: cause() });
    this.#refusals.warn(fields, 'refused: not signed by Twilio');
    return reply.code(403).send();
  }
}

/** What was posted, which Twilio signs along with the address. */
export function form(request: FastifyRequest): Parameters {
  return Object.fromEntries(Object.entries(request.body ?? {}));
}

export function streamUrl({ host }: Origin, path: string): string {
  return `wss://${host}${path}`;
}

/** Twilio may sign the address of a stream with a slash at its end. */
function signedUrls(request: FastifyRequest, origin: Origin): string[] {
  if (!request.ws) return [`${origin.protocol}//${origin.host}${request.originalUrl}`];
  const url = streamUrl(origin, request.originalUrl.replace(/\/?(\?.*)?$/, ''));
  return [url, `${url}/`];
}

function signature({ headers }: FastifyRequest): unknown {
  return headers['x-twilio-signature'];
}

function requestedOrigin({ headers, protocol }: FastifyRequest): Origin {
  const scheme = firstValue(headers['x-forwarded-proto']) ?? protocol;
  const host = firstValue(headers['x-forwarded-host']) ?? headers.host ?? '';
  return { protocol: scheme === 'https' ? 'https:' : 'http:', host };
}

/** Each proxy appends its own value to the header: the first is the client's. */
function firstValue(header: string | string[] | undefined): string | undefined {
  return header?.toString().split(',')[0]?.trim() || undefined;
}
