import { once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import { WebSocketServer } from 'ws';
import { portOf } from '../support/port.ts';
import type { KeyMeaning, Manner, ParrotEvent } from './conversation.ts';
import { ParrotSession } from './parrot-session.ts';

export type { KeyMeaning, ParrotEvent };

export interface ParrotOptions extends Partial<Omit<Manner, 'greeting'>>, Pick<Manner, 'greeting'> {
  port?: number;
  onEvent?: (event: ParrotEvent, session: ParrotSession) => void;
}

export interface Parrot {
  /** The address to dial, without the query. */
  readonly url: string;
  /** All sessions, open or closed, oldest first. */
  readonly sessions: readonly ParrotSession[];
  /** Cuts all connections and frees the port. */
  close(): Promise<void>;
}

/** More than any session.update or tool output has. */
const MOST_PAYLOAD_BYTES = 1_048_576;

/**
 * Starts a stand-in for OpenAI's Realtime API on 127.0.0.1, which repeats what the caller says.
 * It is strict, and keeps the order, shapes and timing of recorded sessions. It never fails.
 */
export async function startParrot({ port = 0, onEvent, ...options }: ParrotOptions): Promise<Parrot> {
  const manner: Manner = { pace: 8, updateMs: 70, thinkMs: 500, onKeys: {}, ...options };
  const sessions: ParrotSession[] = [];
  const server = new WebSocketServer({
    host: '127.0.0.1',
    port,
    path: '/v1/realtime',
    perMessageDeflate: false,
    maxPayload: MOST_PAYLOAD_BYTES,
    verifyClient: ({ req }, answer) => answer(isFromHere(req.headers), 403),
  });
  server.on('connection', (socket, request) => {
    const model = new URL(request.url ?? '/', 'ws://parrot').searchParams.get('model') ?? '';
    const session = new ParrotSession(socket, model, manner, (event) => onEvent?.(event, session));
    sessions.push(session);
    session.start();
  });
  await once(server, 'listening');

  return {
    url: `ws://127.0.0.1:${portOf(server)}/v1/realtime`,
    sessions,
    async close() {
      for (const client of server.clients) client.terminate();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Whether a request is neither a web page's nor for a stranger's name that resolves to this machine. */
function isFromHere({ host = '', origin, 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  const isForUs = /^(?:127\.0\.0\.1|localhost)(?::\d+)?$/.test(host);
  return isForUs && (origin === undefined || origin === `http://${host}`) && site !== 'cross-site';
}
