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
import type { Assistant } from './assistant.ts';
import { Calls } from './calls.ts';
import type { Config } from './config.ts';
import { dismiss, Gate } from './gate.ts';
import { form, Guard, streamUrl } from './guard.ts';
import { ThrottledLog } from './log.ts';
import { relay } from './relay.ts';
import { Standby } from './standby.ts';
import { Streams } from './streams.ts';
import { issueToken } from './wire/auth.ts';
import { isId, texts } from './wire/json.ts';
import { socketOptions } from './wire/socket.ts';
import { askAgain, connectStream, hangUp, rejectAsBusy } from './wire/twiml.ts';

/** The most that Twilio may send at once, in bytes: a form, or a message on a stream. */
const MAX_BYTES = 65_536;
/** How many fields of a form are read: one with more has no valid signature. */
const MAX_FIELDS = 200;
/** How long a request may take to arrive, in ms, and how often that is checked. */
const REQUEST_MS = 8_000;
const CHECK_MS = 1_000;
/** How many more streams than calls may be open without having started. */
const MAX_EXTRA_STREAMS = 10;
const STREAM_PATH = '/media-stream';

/** What a server can be given in place of its own. */
interface AppOptions {
  calls?: Calls;
  streams?: Streams;
  logger?: FastifyServerOptions['logger'];
}

/** The server, ready to listen: Twilio's webhooks and its stream. */
export async function buildApp(
  config: Config,
  assistant: Assistant,
  options: AppOptions = {},
): Promise<FastifyInstance> {
  const {
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
  const guard = new Guard(config, refusals);
  const standby = new Standby({ config, assistant }, app.log);
  const usedTokens = new UsedTokens();
  app.addHook('onListen', async () => standby.open());
  app.addHook('preClose', async () => standby.close());
  // Twilio posts forms: anything else is answered with 415.
  app.removeAllContentTypeParsers();
  await app.register(formbody, { parser: (form) => parse(form, '&', '=', { maxKeys: MAX_FIELDS }) });
  await app.register(websocket, {
    options: { ...socketOptions, maxPayload: MAX_BYTES, server: upgrades },
    // The relay listens to the errors of its socket itself.
    errorHandler: () => {},
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

  const signed = { onRequest: guard.screen, preHandler: guard.check };

  app.all('/incoming-call', signed, (request, reply) => {
    const { callSid, from } = fields(request);
    reply.type('text/xml');
    // Its stream is about to end, or the request is a recorded one: neither is given a second token.
    if (callSid && calls.isLive(callSid) && !calls.isClosing)
      return reply.send(askAgain(request.originalUrl));
    if (calls.isBusy) {
      refusals.warn(() => ({ callSid, from }), 'call rejected');
      return reply.send(rejectAsBusy());
    }
    const origin = guard.origin(request);
    let token: string | undefined;
    if (twilioAuthToken && callSid) {
      if (usedTokens.areAllUsed(callSid)) return reply.send(hangUp(assistant.apology));
      token = issueToken(twilioAuthToken, callSid, Date.now());
    }
    // How its last stream ended is no news any more.
    if (callSid) calls.forget(callSid);
    request.log.info({ callSid, from }, 'call answered');
    const actionUrl = `${origin.protocol}//${origin.host}/call-ended`;
    return reply.send(connectStream(streamUrl(origin, STREAM_PATH), actionUrl, token));
  });

  app.all('/call-ended', signed, (request, reply) => {
    const sentences = { completed: undefined, failed: assistant.apology, 'time limit': assistant.timeIsUp };
    const outcome = calls.outcome(fields(request).callSid);
    return reply.type('text/xml').send(hangUp(sentences[outcome]));
  });

  app.route({
    method: 'GET',
    url: STREAM_PATH,
    onRequest: [requireUpgrade, requirePlace, guard.screen],
    preHandler: guard.check,
    handler: (_request, reply) => reply.send(),
    wsHandler(socket, { raw, log }) {
      gate.pass(raw.socket);
      relay(socket, raw.socket, { config, assistant, calls, streams, usedTokens, refusals, standby }, log);
    },
  });

  async function requireUpgrade(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (request.ws) return;
    refusals.warn(
      () => ({}),
      'no upgrade came with a request for a stream: have the proxy pass on Upgrade and Connection',
    );
    return reply.code(426).header('upgrade', 'websocket').send();
  }

  async function requirePlace(_request: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (streams.waiting >= maxWaiting) streams.endOldestWaiting();
    if (!calls.isClosing) return;
    refusals.warn(() => ({}), 'stream refused: the server stops');
    return reply.code(503).send();
  }

  return app;
}

/** What Twilio says about the call, posted or in the query; repeated parameters, which it doesn't send, are left out. */
function fields(request: FastifyRequest): { callSid: string | undefined; from: string } {
  const { CallSid, From } = { ...texts(request.query), ...texts(form(request)) };
  return { callSid: isId(CallSid) ? CallSid : undefined, from: masked(From) };
}

/** A phone number as it may be logged: its last four digits. */
function masked(number = ''): string {
  return `…${number.replace(/\D/g, '').slice(-4)}`;
}
