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
import { type Assistant, assistant as defaultAssistant } from './assistant.ts';
import { Calls } from './calls.ts';
import type { Config } from './config.ts';
import { relay } from './relay.ts';
import { Standby } from './standby.ts';
import { Streams } from './streams.ts';
import { isSigned, issueToken, type Parameters } from './wire/auth.ts';
import { texts } from './wire/json.ts';
import { socketOptions } from './wire/socket.ts';
import { connectStream, hangUp, rejectAsBusy } from './wire/twiml.ts';

/** The most that Twilio may send at once, in bytes: a form, or a message on a stream. */
const MAX_BYTES = 65_536;

/** How long a request may take to arrive, in ms. */
const REQUEST_MS = 10_000;
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
    // A client that says nothing must neither hold its socket for long nor keep the process from its end.
    requestTimeout: REQUEST_MS,
    http: { headersTimeout: REQUEST_MS, connectionsCheckingInterval: REQUEST_MS / 2 },
    forceCloseConnections: true,
    routerOptions: { ignoreTrailingSlash: true },
  });
  const standby = new Standby({ config, assistant }, app.log);
  app.addHook('onListen', async () => standby.open());
  app.addHook('preClose', async () => standby.close());
  // Twilio posts forms: anything else is answered with 415.
  app.removeAllContentTypeParsers();
  await app.register(formbody);
  await app.register(websocket, {
    options: { ...socketOptions, maxPayload: MAX_BYTES },
    errorHandler(error, socket, request) {
      request.log.warn({ err: error }, 'media stream error');
      socket.close(1011);
    },
  });

  // The plugin would open a stream at any address, and log all of it.
  app.addHook('onRequest', async (request, reply) => {
    if (request.ws && request.routeOptions.url !== STREAM_PATH) return reply.code(404).send();
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

  app.all('/incoming-call', { preHandler: requireSignature }, (request, reply) => {
    const { CallSid, From } = fields(request);
    request.log.info(
      { callSid: CallSid, from: masked(From) },
      calls.isBusy ? 'call rejected' : 'call answered',
    );
    reply.type('text/xml');
    if (calls.isBusy) return reply.send(rejectAsBusy());
    const { protocol, host } = origin(request);
    const token = twilioAuthToken && CallSid && issueToken(twilioAuthToken, CallSid, Date.now());
    return reply.send(connectStream(streamUrl(host), `${protocol}//${host}/call-ended`, token));
  });

  app.all('/call-ended', { preHandler: requireSignature }, (request, reply) => {
    const sentences = { completed: undefined, failed: assistant.apology, 'time limit': assistant.timeIsUp };
    const outcome = calls.outcome(fields(request).CallSid);
    return reply.type('text/xml').send(hangUp(sentences[outcome]));
  });

  app.get(STREAM_PATH, { websocket: true, preHandler: requireSignature }, (socket, request) =>
    relay(socket, request.raw.socket, { config, assistant, calls, streams, standby }, request.log),
  );

  /** The address goes into the log, as a wrong PUBLIC_URL is the likeliest cause; who asked gets no hint. */
  async function requireSignature(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (twilioAuthToken === undefined) return;
    const { protocol, host } = origin(request);
    const signature = request.headers['x-twilio-signature'];
    // Twilio may sign the address of a stream with a slash at its end.
    const urls = request.ws
      ? [streamUrl(host), `${streamUrl(host)}/`]
      : [`${protocol}//${host}${request.originalUrl}`];
    if (urls.some((url) => isSigned(twilioAuthToken, signature, url, form(request)))) return;
    const address = request.ws ? streamUrl(host) : `${protocol}//${host}`;
    request.log.warn(
      { isSigned: signature !== undefined, address },
      'refused: not signed by Twilio for this address',
    );
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
function fields({ query, body }: FastifyRequest): Partial<Record<string, string>> {
  return { ...texts(query), ...texts(body) };
}

/** A phone number as it may be logged: its last four digits. */
function masked(number: string | undefined): string {
  return `…${(number ?? '').replace(/\D/g, '').slice(-4)}`;
}
