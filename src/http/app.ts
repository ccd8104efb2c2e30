import { createServer } from 'node:http';
import { parse } from 'node:querystring';
import formbody from '@fastify/formbody';
import websocket from '@fastify/websocket';
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  LogController,
} from 'fastify';
import { Calls } from '../call/calls.ts';
import { Stream } from '../call/stream.ts';
import type { Config } from '../config.ts';
import type { Assistant } from '../contract.ts';
import { describeThrown, ThrottledLog } from '../log.ts';
import { Standby } from '../openai/standby.ts';
import { isDoneWithin } from '../timers.ts';
import { isSignature } from '../wire/auth.ts';
import { texts } from '../wire/json.ts';
import { loggable } from '../wire/loggable.ts';
import { isProxied, socketOptions } from '../wire/socket.ts';
import { askAgain, connectStream, hangUp, rejectAsBusy, takeStep } from '../wire/twiml.ts';
import { encodeDetails, readWebhook, type Webhook } from '../wire/webhook.ts';
import { Connections, dismiss, looksLike, STREAM_PATH } from './connections.ts';
import { shutDown } from './shutdown.ts';
import { form, Signatures, streamUrl } from './signatures.ts';

/** The longest form, and the longest message of a stream, in bytes. */
const MAX_BYTES = 65_536;
/** A form with more fields has no valid signature. */
const MAX_FIELDS = 200;
/** Time for a request to arrive, in ms, and the interval of its check. */
const REQUEST_MS = 8_000;
const CHECK_MS = 1_000;
/** Time for calls to close when the app closes, in ms. */
const CLOSE_MS = 2_000;
const PROXY_ADVICE = 'set NODE_USE_ENV_PROXY=1 outside .env, and have Node 22.21, 24.5 or later';

/** The app, ready to listen, and its calls. */
export interface Relay {
  app: FastifyInstance;
  calls: Calls;
  /** Ends all calls, after `graceMs` with a word of the assistant's, without it at once; the app is to be closed then. */
  shutDown(graceMs: number | undefined): Promise<void>;
}

/** Builds the app: Twilio's webhooks and its stream. */
export async function buildApp(
  config: Config,
  assistant: Assistant,
  logger: Exclude<FastifyServerOptions['logger'], boolean> = { level: config.logLevel },
): Promise<Relay> {
  const app = Fastify({
    logger: { ...logger, serializers: { err: describeThrown } },
    // Fastify's own request lines would contain callers' numbers.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MAX_BYTES,
    requestTimeout: REQUEST_MS,
    http: { headersTimeout: REQUEST_MS, connectionsCheckingInterval: CHECK_MS },
    forceCloseConnections: true,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 200 },
    // Fastify's own would log the packet, which has the signature and the caller's number.
    clientErrorHandler({ code, rawPacket }, socket) {
      if (code !== 'ECONNRESET')
        refusals.warn(() => ({ code, looksLike: looksLike(rawPacket) }), 'malformed request');
      dismiss(socket, '400 Bad Request');
    },
    frameworkErrors: (error, request, reply) => void failed(error, request, reply),
  });
  const upgrades = createServer();
  const refusals = new ThrottledLog(app.log);
  if (config.namesProxy && !isProxied) app.log.warn({ advice: PROXY_ADVICE }, 'HTTPS_PROXY ignored');
  const signatures = new Signatures(config, refusals);
  const connections = new Connections(app.server, upgrades, signatures, refusals, config.maxConcurrentCalls);
  const standby = new Standby(config, assistant, app.log);
  const calls = new Calls({ config, assistant, standby, log: app.log });
  app.addHook('onRequest', (_request, reply, done) => {
    // A cache would repeat to one caller what another was told. Node closes no connection that has had its last request by itself.
    reply.headers({ 'cache-control': 'no-store', connection: 'close' });
    done();
  });
  app.addHook('onListen', async () => standby.open());
  app.addHook('preClose', async () => {
    await isDoneWithin(calls.end('at once'), CLOSE_MS);
    standby.close();
  });
  // Twilio posts forms: anything else is answered with 415.
  app.removeAllContentTypeParsers();
  await app.register(formbody, { parser: (form) => parse(form, '&', '=', { maxKeys: MAX_FIELDS }) });
  await app.register(websocket, {
    options: { ...socketOptions, maxPayload: MAX_BYTES, server: upgrades },
    // Streams listen to the errors of their sockets themselves.
    errorHandler: () => {},
  });

  app.setErrorHandler(failed);
  app.setNotFoundHandler((request, reply) => failed({ statusCode: 404 }, request, reply));

  function failed(err: { statusCode?: number }, request: FastifyRequest, reply: FastifyReply) {
    const { statusCode = 500 } = err;
    if (statusCode < 500) signatures.logRejected(request.raw, statusCode);
    else request.log.error({ err }, 'request failed');
    return reply.code(statusCode).header('cache-control', 'no-store').send();
  }

  app.get('/', (request, reply) => {
    // A health check isn't signed.
    if (isSignature(request.headers['x-twilio-signature'])) return reply.callNotFound();
    return reply
      .code(calls.isClosing ? 503 : 200)
      .send({ message: 'Twilio Media Stream Server is running!', calls: calls.live });
  });

  const publicPath = config.publicUrl?.replace(/^\w+:\/\/[^/]+/, '') ?? '';
  const admit = async ({ raw }: FastifyRequest) => connections.admit(raw.socket);
  const signed = { onRequest: signatures.screen, preHandler: [signatures.check, admit] };

  app.all('/incoming-call', signed, async (request, reply) => {
    const asked = webhook(request);
    const { callSid, isOver, details } = asked;
    if (isOver) {
      calls.hungUp(callSid);
      return reply.code(204).send();
    }
    reply.type('text/xml');
    if (callSid === undefined) return connect(request, asked, assistant.twiml);
    const from = masked(details.from);
    const log = request.log.child({ callSid, from });
    const call = await calls.ring(callSid, details, log);
    if (typeof call === 'object') return connect(request, asked, call.persona.twiml);
    switch (call) {
      case 'busy': {
        const reason = calls.isBusy ? 'all places taken' : "answer() returned 'busy'";
        refusals.warn(() => ({ callSid, from, reason }), 'call rejected');
        return rejectAsBusy();
      }
      case 'shutdown':
      case 'too many ringing':
      case 'call already live':
        if (call !== 'call already live')
          refusals.warn(() => ({ callSid, from, reason: call }), 'call deferred');
        // Its stream is about to end, or this is a recorded request: neither gets a second token.
        // Twilio posts its own parameters again: only the owner's are in the address.
        return askAgain(
          `${publicPath}/incoming-call?${new URLSearchParams(details.query)}`.replace(/\?$/, ''),
          call === 'too many ringing' ? 2 : 1,
        );
      // It has had all its streams, or was hung up.
      default:
        return hangUp(assistant.apology, assistant.say);
    }
  });

  function connect(request: FastifyRequest, { callSid, details }: Webhook, before?: string): string {
    const call = encodeDetails(details);
    const token = callSid && calls.issueToken(callSid, call);
    return connectStream(
      streamUrl(urlOf(request, STREAM_PATH, callSid)),
      urlOf(request, '/call-ended', callSid),
      { ...(token && { token }), ...(callSid && { call }) },
      before,
    );
  }

  /** The address of a path, with the CallSid in it, by which a balancer can keep a call on one process. */
  function urlOf(request: FastifyRequest, path: string, callSid: string | undefined): string {
    return signatures.base(request) + path + (callSid === undefined ? '' : `/${callSid}`);
  }

  app.all('/call-ended/:callSid?', signed, async (request, reply) => {
    const { callSid, isOver } = webhook(request);
    reply.type('text/xml');
    return takeStep(calls.next(callSid, isOver), urlOf(request, '/transfer-ended', callSid));
  });

  app.all('/transfer-ended/:callSid?', signed, async (request, reply) => {
    const { callSid, transfer, dialSid, details } = webhook(request);
    const { nobodyAnswered = assistant.nobodyAnswered, ...as } = details.query;
    if (calls.isNewTransfer(callSid, dialSid))
      request.log.info({ callSid, ...transfer, status: loggable(transfer.status) }, 'transfer ended');
    reply.type('text/xml');
    return hangUp(['completed', 'answered'].includes(transfer.status) ? undefined : nobodyAnswered, as);
  });

  function webhook(request: FastifyRequest): Webhook {
    return readWebhook(texts(request.query), texts(form(request)), config.twilioAuthToken !== undefined);
  }

  app.route({
    method: 'GET',
    url: `${STREAM_PATH}/:callSid?`,
    onRequest: [requireUpgrade, signatures.screen],
    preHandler: signatures.check,
    handler: (_request, reply) => reply.send(),
    wsHandler(socket, { raw, log }) {
      const onSettled = (hasStarted: boolean) => connections.settled(stream, hasStarted);
      const stream = new Stream(socket, raw.socket, { calls, refusals, log, onSettled });
      connections.accept(raw.socket, stream);
      if (!calls.isClosed) calls.track(stream.closed);
    },
  });

  async function requireUpgrade(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (request.ws) return;
    const advice = 'have the proxy pass on Upgrade and Connection';
    refusals.warn(() => ({ advice }), 'upgrade missing');
    return reply.code(426).header('upgrade', 'websocket').send();
  }

  return { app, calls, shutDown: (graceMs) => shutDown(app.server, calls, graceMs) };
}

/** A phone number as it may be logged: its last four digits. */
function masked(number = ''): string {
  return `…${number.slice(-4)}`;
}
