import { createServer } from 'node:http';
import { parse } from 'node:querystring';
import formbody from '@fastify/formbody';
import websocket from '@fastify/websocket';
import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  LogController,
} from 'fastify';
import { UsedTokens } from './admission.ts';
import { type Assistant, assistant as defaultAssistant } from './assistant.ts';
import { Calls } from './calls.ts';
import type { Config } from './config.ts';
import { dismiss, Gate } from './gate.ts';
import { ThrottledLog } from './log.ts';
import { relay } from './relay.ts';
import { Standby } from './standby.ts';
import { Streams } from './streams.ts';
import { isSignature, isSigned, issueToken, type Parameters } from './wire/auth.ts';
import { isId, texts } from './wire/json.ts';
import { loggable } from './wire/loggable.ts';
import { socketOptions } from './wire/socket.ts';
import { askAgain, connectStream, hangUp, rejectAsBusy } from './wire/twiml.ts';

/** The most that Twilio may send at once, in bytes: a form, or a message on a stream. */
const MAX_BYTES = 65_536;
/** How many fields of a form are read: one with more has no valid signature. */
const MAX_FIELDS = 200;
/** How long a request may take to arrive, in ms, and how often that is looked at. */
const REQUEST_MS = 8_000;
const CHECK_MS = 1_000;
/** How many streams may be open, beside those of the calls, that haven't started. */
const MAX_EXTRA_STREAMS = 10;
const STREAM_PATH = '/media-stream';

/** What a server can be given in place of its own. */
export interface AppOptions {
  assistant?: Assistant;
  calls?: Calls;
  streams?: Streams;
  logger?: FastifyServerOptions['logger'];
}

/** The server, ready to listen: Twilio's webhooks and its stream. */
export async function buildApp(config: Config, options: AppOptions = {}): Promise<FastifyInstance> {
  const {
    assistant = defaultAssistant,
    calls = new Calls(config.maxConcurrentCalls),
    streams = new Streams(),
    logger = { level: config.logLevel },
  } = options;
  const { twilioAuthToken } = config;
  const app = Fastify({
    logger,
    // Fastify's own request lines would have callers' numbers in them.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MAX_BYTES,
    requestTimeout: REQUEST_MS,
    http: { headersTimeout: REQUEST_MS, connectionsCheckingInterval: CHECK_MS },
    forceCloseConnections: true,
    routerOptions: { ignoreTrailingSlash: true },
    // Fastify's own would log the packet, with the signature and the caller's number in it.
    clientErrorHandler: (_error, socket) => dismiss(socket, '400 Bad Request'),
  });
  const maxWaiting = config.maxConcurrentCalls + MAX_EXTRA_STREAMS;
  const upgrades = createServer();
  const gate = new Gate(app.server, STREAM_PATH, upgrades, config.maxConcurrentCalls + maxWaiting);
  const refusals = new ThrottledLog(app.log);
  const standby = new Standby({ config, assistant }, app.log);
  const usedTokens = new UsedTokens();
  app.addHook('onListen', async () => standby.open());
  app.addHook('preClose', async () => standby.close());
  // Twilio posts forms: anything else is answered with 415.
  app.removeAllContentTypeParsers();
  await app.register(formbody, { parser: (form) => parse(form, '&', '=', { maxKeys: MAX_FIELDS }) });
  await app.register(websocket, {
    options: { ...socketOptions, maxPayload: MAX_BYTES, server: upgrades },
    errorHandler(error, socket) {
      refusals.warn({ err: error }, 'media stream error');
      socket.close(1011);
    },
  });

  app.setErrorHandler((error: FastifyError, request, reply) => {
    const { statusCode = 500 } = error;
    if (statusCode >= 500) request.log.error({ err: error }, 'request failed');
    return reply.code(statusCode).send();
  });

  app.get('/', (_request, reply) =>
    reply
      .code(calls.isClosing ? 503 : 200)
      .send({ message: 'Twilio Media Stream Server is running!', calls: calls.live }),
  );

  const signed = { onRequest: requireHeader, preHandler: requireSignature };

  app.all('/incoming-call', signed, (request, reply) => {
    const { callSid, from } = fields(request);
    reply.type('text/xml');
    if (calls.isBusy) {
      refusals.warn({ callSid, from }, 'call rejected');
      return reply.send(rejectAsBusy());
    }
    if (callSid !== undefined && usedTokens.areAllUsed(callSid)) return reply.send(hangUp(assistant.apology));
    // Its stream is about to end, or the request is a recorded one: neither is given a second token.
    if (callSid !== undefined && calls.isLive(callSid)) return reply.send(askAgain(request.originalUrl));
    request.log.info({ callSid, from }, 'call answered');
    const { protocol, host } = origin(request);
    const token = twilioAuthToken && callSid && issueToken(twilioAuthToken, callSid, Date.now());
    return reply.send(connectStream(streamUrl(host), `${protocol}//${host}/call-ended`, token));
  });

  app.all('/call-ended', signed, (request, reply) => {
    const sentences = { completed: undefined, failed: assistant.apology, 'time limit': assistant.timeIsUp };
    const outcome = calls.outcome(fields(request).callSid);
    return reply.type('text/xml').send(hangUp(sentences[outcome]));
  });

  app.get(STREAM_PATH, { ...signed, websocket: true }, (socket, request) => {
    gate.pass(request.raw.socket);
    relay(
      socket,
      request.raw.socket,
      { config, assistant, calls, streams, usedTokens, refusals, standby },
      request.log,
    );
  });

  /** Refuses what can't be signed before a byte of its body is read. */
  async function requireHeader(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (request.ws && (calls.isClosing || streams.waiting >= maxWaiting)) {
      refusals.warn({ waiting: streams.waiting, isClosing: calls.isClosing }, 'stream refused');
      return reply.code(503).send();
    }
    if (twilioAuthToken !== undefined && !isSignature(request.headers['x-twilio-signature'])) {
      return refuse(request, reply);
    }
  }

  async function requireSignature(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (twilioAuthToken === undefined) return;
    const { protocol, host } = origin(request);
    // Twilio may sign the address of a stream with a slash at its end.
    const urls = request.ws
      ? [streamUrl(host), `${streamUrl(host)}/`]
      : [`${protocol}//${host}${request.originalUrl}`];
    const signature = request.headers['x-twilio-signature'];
    if (!isSigned(twilioAuthToken, signature, urls, form(request))) return refuse(request, reply);
  }

  /** The address goes into the log, as a wrong PUBLIC_URL is the likeliest cause; who asked gets no hint. */
  function refuse(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const { protocol, host } = origin(request);
    const address = loggable(request.ws ? streamUrl(host) : `${protocol}//${host}`);
    const isSigned = request.headers['x-twilio-signature'] !== undefined;
    refusals.warn({ isSigned, address }, 'refused: not signed by Twilio for this address');
    return reply.code(403).send();
  }

  /**
   * Where Twilio reached this server: PUBLIC_URL, otherwise what the proxy in front was asked for, otherwise the Host.
   *
   * Whoever sends the headers chooses the address, but can't sign it: with a wrong one, no signature is valid.
   */
  function origin({ headers, protocol }: FastifyRequest): { protocol: string; host: string } {
    if (config.publicUrl) return config.publicUrl;
    const scheme = firstValue(headers['x-forwarded-proto']) ?? protocol;
    const host = firstValue(headers['x-forwarded-host']) ?? headers.host ?? '';
    return { protocol: scheme === 'https' ? 'https:' : 'http:', host };
  }

  return app;
}

function streamUrl(host: string): string {
  return `wss://${host}${STREAM_PATH}`;
}

/** Each proxy appends its own value to the header: the first is the client's. */
function firstValue(header: string | string[] | undefined): string | undefined {
  return header?.toString().split(',')[0]?.trim() || undefined;
}

/** What was posted, which Twilio signs along with the address. */
function form(request: FastifyRequest): Parameters {
  return Object.fromEntries(Object.entries(request.body ?? {}));
}

/** What Twilio says about the call, posted or in the query; repeated parameters, which it doesn't send, are left out. */
function fields({ query, body }: FastifyRequest): { callSid: string | undefined; from: string } {
  const { CallSid, From } = { ...texts(query), ...texts(body) };
  return { callSid: isId(CallSid) ? CallSid : undefined, from: masked(From) };
}

/** A phone number as it may be logged: its last four digits. */
function masked(number = ''): string {
  return `…${number.replace(/\D/g, '').slice(-4)}`;
}
