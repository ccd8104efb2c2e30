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
import { Used } from '../call/admission.ts';
import { whoAnswers } from '../call/answer.ts';
import { Call } from '../call/call.ts';
import { Calls } from '../call/calls.ts';
import { Preparations } from '../call/preparations.ts';
import { relay } from '../call/stream.ts';
import { Streams } from '../call/streams.ts';
import type { Config } from '../config.ts';
import type { Assistant } from '../contract.ts';
import { ThrottledLog } from '../log.ts';
import { Standby } from '../openai/standby.ts';
import { issueToken } from '../wire/auth.ts';
import { texts } from '../wire/json.ts';
import { socketOptions } from '../wire/socket.ts';
import { askAgain, connectStream, dial, hangUp, rejectAsBusy } from '../wire/twiml.ts';
import { type CallDetails, encodeDetails, readWebhook } from '../wire/webhook.ts';
import { Connections, dismiss } from './connections.ts';
import { form, Signatures, streamUrl } from './signatures.ts';

/** The most that Twilio may send at once, in bytes: a form, or a message on a stream. */
const MAX_BYTES = 65_536;
/** How many fields of a form are read: one with more has no valid signature. */
const MAX_FIELDS = 200;
/** How long a request may take to arrive, in ms, and how often that is checked. */
const REQUEST_MS = 8_000;
const CHECK_MS = 1_000;
/** How many more streams than calls may be open without having started. */
const MAX_EXTRA_STREAMS = 10;
/** How long calls that nobody came for may take to close when the server stops, in ms. */
const LAST_MS = 2_000;
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
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 200 },
    // Fastify's own would log the packet, with the signature and the caller's number in it.
    clientErrorHandler: (_error, socket) => dismiss(socket, '400 Bad Request'),
  });
  const maxWaiting = config.maxConcurrentCalls + MAX_EXTRA_STREAMS;
  const upgrades = createServer();
  const connections = new Connections(
    app.server,
    STREAM_PATH,
    upgrades,
    config.maxConcurrentCalls + maxWaiting,
  );
  const refusals = new ThrottledLog(app.log);
  const signatures = new Signatures(config, refusals);
  const standby = new Standby(config, assistant, app.log);
  const shared = { config, assistant, calls, standby };
  const used = new Used();
  const preparations = new Preparations(used);
  app.addHook('onListen', async () => standby.open());
  app.addHook('preClose', async () => {
    preparations.close();
    await calls.untilFinished(LAST_MS);
    standby.close();
  });
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

  const signed = { onRequest: signatures.screen, preHandler: signatures.check };

  app.all('/incoming-call', signed, async (request, reply) => {
    const { callSid, details } = webhook(request);
    const log = request.log.child({ callSid, from: masked(details.from) });
    reply.type('text/xml');
    const isPrepared = callSid !== undefined && preparations.has(callSid);
    if (calls.isClosing && !isPrepared) {
      refusals.warn(() => ({ callSid }), 'call asked again: the server stops');
      return askAgain(request.originalUrl);
    }
    if (callSid === undefined) return calls.isBusy ? reject(callSid) : connect(request, callSid, details);
    // Its stream is about to end, or the request is a recorded one: neither is given a second token.
    if (calls.isLive(callSid) && !isPrepared) return askAgain(request.originalUrl);
    if (calls.isBusy && !isPrepared) return reject(callSid);
    if (twilioAuthToken && !isPrepared && used.areAllStreams(callSid)) return hangUp(assistant.apology);
    // How its last stream ended is no news any more.
    calls.forget(callSid);
    const call = await preparations.prepare(callSid, async () => {
      const abort = new AbortController();
      const info = { sid: callSid, ...details, signal: abort.signal };
      const persona = await whoAnswers(assistant, info, log);
      if (persona === 'busy' || calls.isBusy) {
        abort.abort();
        return 'busy';
      }
      // A stream with an older token may have come meanwhile.
      return calls.isLive(callSid) ? undefined : new Call(info, abort, persona, shared, request.log);
    });
    if (call === 'busy') return reject(callSid);
    log.info('call answered');
    return connect(request, callSid, details, call);
  });

  function connect(
    request: FastifyRequest,
    callSid: string | undefined,
    details: CallDetails,
    { twiml }: { twiml?: string | undefined } = assistant,
  ): string {
    const call = encodeDetails(details);
    const token = twilioAuthToken && callSid && issueToken(twilioAuthToken, callSid, Date.now(), call);
    return connectStream(
      streamUrl(signatures.origin(request), pathOf(STREAM_PATH, callSid)),
      action(request, '/call-ended', callSid),
      { ...(token && { token }), ...(callSid && { call }) },
      twiml,
    );
  }

  /** The address that Twilio is to ask when it has done what it was told. */
  function action(request: FastifyRequest, path: string, callSid: string | undefined): string {
    const { protocol, host } = signatures.origin(request);
    return `${protocol}//${host}${pathOf(path, callSid)}`;
  }

  app.all('/call-ended/:callSid?', signed, async (request, reply) => {
    const { callSid } = webhook(request);
    const next = calls.next(callSid);
    reply.type('text/xml');
    if (next === undefined || 'say' in next) return hangUp(next?.say);
    return dial(next.dial, next.callerId, action(request, '/transfer-ended', callSid));
  });

  app.all('/transfer-ended/:callSid?', signed, async (request, reply) => {
    const { transferStatus = '' } = webhook(request);
    reply.type('text/xml');
    return hangUp(['completed', 'answered'].includes(transferStatus) ? undefined : assistant.nobodyAnswered);
  });

  function reject(callSid: string | undefined): string {
    const reason = calls.isBusy ? 'all places are taken' : "answer() said 'busy'";
    refusals.warn(() => ({ callSid, reason }), 'call rejected');
    return rejectAsBusy();
  }

  app.route({
    method: 'GET',
    url: `${STREAM_PATH}/:callSid?`,
    onRequest: [requireUpgrade, makePlace, signatures.screen],
    preHandler: signatures.check,
    handler: (_request, reply) => reply.send(),
    wsHandler(socket, { raw, log }) {
      connections.pass(raw.socket);
      relay(socket, raw.socket, { ...shared, streams, preparations, used, refusals }, log);
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

  async function makePlace(): Promise<void> {
    if (streams.waiting >= maxWaiting) streams.endOldestWaiting();
  }

  return app;
}

/** The path with the call's own name in it, by which a balancer can keep the call on one process. */
function pathOf(path: string, callSid: string | undefined): string {
  return callSid === undefined ? path : `${path}/${callSid}`;
}

function webhook(request: FastifyRequest): ReturnType<typeof readWebhook> {
  return readWebhook(texts(request.query), texts(form(request)));
}

/** A phone number as it may be logged: its last four digits. */
function masked(number = ''): string {
  return `…${number.slice(-4)}`;
}
