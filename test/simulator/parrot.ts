import { createServer, type IncomingMessage, STATUS_CODES } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { BYTES_PER_MS } from '../../src/wire/audio.ts';
import type { Manner, ParrotEvent } from './conversation.ts';
import { encodeMulaw } from './mulaw.ts';
import { type Failure, type Line, ParrotSession } from './parrot-session.ts';
import type { ApiError } from './session-config.ts';

export type { Failure, ParrotEvent, ParrotSession };

/** What a parrot may be told; times in ms. */
export interface ParrotOptions extends Partial<Manner> {
  port?: number;
  /** The only key that is let in; any by default. */
  apiKey?: string;
  /** The only models that there are; any by default. */
  models?: readonly string[];
  /** How long the 101 takes. */
  acceptMs?: number;
  pingMs?: number;
  /** How long a session may last: 60 minutes by default, as with OpenAI. */
  maxSessionMs?: number;
  /** How a connection, counted from 1, goes wrong, if it does. */
  fail?: (connectionNumber: number) => Failure | undefined;
  onEvent?: (event: ParrotEvent, session: ParrotSession) => void;
}

export interface Parrot {
  /** What to dial, without the query. */
  readonly url: string;
  /** The sessions that were let in and whose sockets are open, oldest first. */
  readonly sessions: readonly ParrotSession[];
  /** How many connections have been asked for, the refused ones too. */
  readonly connections: number;
  /** Cuts all connections and frees the port. */
  close(): Promise<void>;
}

const PATH = '/v1/realtime';

/**
 * Listens on 127.0.0.1 as OpenAI's Realtime API would, and answers callers with their own words.
 * It is as strict as the real one, and keeps the order, shapes and timing of recorded sessions.
 */
export async function startParrot(options: ParrotOptions = {}): Promise<Parrot> {
  const { port = 0, acceptMs = 0, pingMs = 20_300, maxSessionMs = 3_600_000 } = options;
  const { fail = () => undefined, onEvent = () => undefined } = options;
  const manner: Manner = {
    greeting: options.greeting ?? tone(800),
    deltaMs: options.deltaMs ?? [100, 150, 250],
    pace: options.pace ?? 8,
    updateMs: options.updateMs ?? 70,
    thinkMs: options.thinkMs ?? 500,
  };
  const server = createServer((_request, response) => response.writeHead(404).end());
  const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  const sockets = new Set<Socket>();
  const sessions: ParrotSession[] = [];
  let connections = 0;

  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });

  server.on('upgrade', (request, socket, head) => {
    const number = ++connections;
    const failure = fail(number);
    if (failure?.type === 'hang') {
      socket.resume().on('end', () => socket.destroy());
    } else if (failure?.type === 'http') {
      refuse(socket, failure.status);
    } else if (address(request).pathname !== PATH) {
      refuse(socket, 404);
    } else {
      const accept = () =>
        wss.handleUpgrade(request, socket, head, (ws) => open(ws, request, number, failure));
      const timer = setTimeout(accept, acceptMs);
      socket.on('close', () => clearTimeout(timer));
    }
  });

  function open(ws: WebSocket, request: IncomingMessage, number: number, failure: Failure | undefined): void {
    const { headers, socket } = request;
    const model = address(request).searchParams.get('model') ?? '';
    const line: Line = {
      send: (text) => ws.send(text),
      close: (code, reason) => {
        session.end();
        ws.close(code, reason);
      },
      reset: () => {
        session.end();
        socket.resetAndDestroy();
      },
      onEvent: (event) => onEvent(event, session),
    };
    const session = new ParrotSession({ number, model, headers }, manner, line, failure);
    const ping = setInterval(() => ws.ping(), pingMs);

    ws.on('error', () => undefined);
    ws.on('message', (data, isBinary) => session.receive(String(data), isBinary));
    ws.on('close', (code) => {
      clearInterval(ping);
      session.end();
      if (sessions.includes(session)) sessions.splice(sessions.indexOf(session), 1);
      onEvent({ type: 'closed', code }, session);
    });

    const refusal = failure?.type === 'close' ? failure : objection(request, model, options);
    if (refusal !== undefined) {
      if (refusal.error !== undefined) session.sendError(refusal.error);
      line.close(refusal.code, refusal.reason);
      return;
    }
    sessions.push(session);
    session.later(maxSessionMs, () => {
      const message = 'Your session hit the maximum duration of 60 minutes.';
      session.sendError({ code: 'session_expired', message });
      line.close(1001, message);
    });
    if (failure?.type !== 'stall') session.start();
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const bound = server.address() as AddressInfo;

  return {
    url: `ws://127.0.0.1:${bound.port}${PATH}`,
    sessions,
    get connections() {
      return connections;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function address(request: IncomingMessage): URL {
  return new URL(request.url ?? '/', 'ws://parrot');
}

function refuse(socket: Duplex, status: number): void {
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
  );
}

/** Why OpenAI would say no to a request, which it does after the 101. */
function objection(
  { headers }: IncomingMessage,
  model: string,
  { apiKey, models }: ParrotOptions,
): { code: number; reason: string; error: ApiError } | undefined {
  const no = (close: number, code: string, message: string) => ({
    code: close,
    reason: `invalid_request_error.${code}`,
    error: { code, message },
  });
  const key = headers.authorization?.replace(/^Bearer /, '') ?? '';
  if (apiKey !== undefined && key !== apiKey) {
    const message = `Incorrect API key provided: ${key.slice(0, 3)}***. You can find your API key at https://platform.openai.com/account/api-keys.`;
    return no(3000, 'invalid_api_key', message);
  }
  if ('openai-beta' in headers) {
    return no(
      4000,
      'beta_api_shape_disabled',
      'The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API.',
    );
  }
  if (model === '') {
    return no(
      4000,
      'missing_model',
      'You must provide a model parameter, for example wss://api.openai.com/v1/realtime?model=gpt-realtime-1.5',
    );
  }
  if (models !== undefined && !models.includes(model)) {
    return no(
      4004,
      'model_not_found',
      `The model \`${model}\` does not exist or you do not have access to it.`,
    );
  }
  return undefined;
}

/** `ms` of a mu-law tone, for a parrot that was taught nothing else to say. */
function tone(ms: number): Uint8Array {
  return Uint8Array.from({ length: ms * BYTES_PER_MS }, (_, i) =>
    encodeMulaw(6000 * Math.sin((i / 8000) * 2 * Math.PI * 440)),
  );
}
