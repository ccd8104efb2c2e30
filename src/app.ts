import formbody from '@fastify/formbody';
import websocket from '@fastify/websocket';
import Fastify, {
  type FastifyInstance,
  type FastifyRequest,
  type FastifyServerOptions,
  LogController,
} from 'fastify';
import { type Assistant, assistant as defaultAssistant } from './assistant.ts';
import type { Config } from './config.ts';
import { relay } from './relay.ts';
import { socketOptions } from './socket.ts';
import { connectStream, hangUp } from './twiml.ts';

export interface AppOptions {
  assistant?: Assistant;
  logger?: FastifyServerOptions['logger'];
}

/** The server, ready to listen: Twilio's webhooks and its stream. */
export async function buildApp(config: Config, options: AppOptions = {}): Promise<FastifyInstance> {
  const { assistant = defaultAssistant, logger = { level: config.logLevel } } = options;
  // Fastify's own request lines would have callers' numbers in them.
  const logController = new LogController({ disableRequestLogging: true });
  const app = Fastify({ logger, logController });
  await app.register(formbody);
  await app.register(websocket, {
    options: socketOptions,
    errorHandler(error, socket, request) {
      request.log.warn({ err: error }, 'media stream error');
      socket.close(1011);
    },
  });
  const live = new Set<string>();

  app.get('/', () => ({ message: 'Twilio Media Stream Server is running!', calls: live.size }));

  app.all('/incoming-call', (request, reply) => {
    const origin = requestedOrigin(request);
    return reply
      .type('text/xml')
      .send(
        connectStream(`wss://${origin.host}/media-stream`, `${origin.protocol}//${origin.host}/call-ended`),
      );
  });

  app.all('/call-ended', (_request, reply) => reply.type('text/xml').send(hangUp()));

  app.get('/media-stream', { websocket: true }, (socket, request) =>
    relay(socket, { config, assistant, live, log: request.log }),
  );

  /** Where Twilio reached this server: PUBLIC_URL, else what the proxy in front was asked for, else the Host. */
  function requestedOrigin(request: FastifyRequest): { protocol: string; host: string } {
    if (config.publicUrl) return config.publicUrl;
    const protocol = firstValue(request.headers['x-forwarded-proto']) ?? request.protocol;
    const host = firstValue(request.headers['x-forwarded-host']) ?? request.headers.host ?? '';
    return { protocol: protocol === 'https' ? 'https:' : 'http:', host };
  }

  return app;
}

/** Each proxy appends its own value to the header: the first is the client's. */
function firstValue(header: string | string[] | undefined): string | undefined {
  return header?.toString().split(',')[0]?.trim() || undefined;
}
