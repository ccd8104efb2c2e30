import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { WebSocketServer } from 'ws';
import { dropOldest } from '../../src/conversation/drop-oldest.ts';
import { portOf } from '../support/port.ts';
import { Handset, type HandsetOptions } from './handset.ts';
import type { ParrotEvent } from './parrot.ts';

export interface DeskOptions extends Pick<HandsetOptions, 'server' | 'narrate'> {
  port: number;
  /** Whether it is a parrot that answers, for the page to say so. */
  isParrot: boolean;
}

/** A telephone on the desk: a page in the browser that calls a server as Twilio does, one call at a time. */
export interface Desk {
  /** Where the page is. */
  readonly url: string;
  /** Passes on what happens at the parrot's end. */
  onParrot(event: ParrotEvent): void;
  /** Hangs up, and frees the port. */
  close(): Promise<void>;
}

const MODULES = 'page telephone timeline paint meter results worklet resampler jitter-buffer'.split(' ');
const FILES: Record<string, { name: string; type: string }> = {
  '/': { name: 'index.html', type: 'text/html; charset=utf-8' },
  '/icon.svg': { name: 'icon.svg', type: 'image/svg+xml' },
  ...files(MODULES, 'js', 'text/javascript; charset=utf-8'),
  ...files(['page', 'telephone', 'call'], 'css', 'text/css; charset=utf-8'),
};
const HEADERS = {
  'Content-Security-Policy':
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'microphone=(self)',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'no-store',
};
/** The recordings of so many calls are kept. */
const MOST_RECORDINGS = 5;
const MOST_PAYLOAD_BYTES = 4096;
/** How long a server may take over the end of a call when all is to end, in ms. */
const PATIENCE_MS = 2_000;

/** What listening on ::1 fails with on a machine without IPv6. */
const NO_IPV6 = ['EADDRNOTAVAIL', 'EAFNOSUPPORT'];

/** Serves the page on 127.0.0.1 and ::1, to no other site's pages; rejects if the port is taken. */
export async function startDesk({ port, isParrot, server, narrate }: DeskOptions): Promise<Desk> {
  const recordings = new Map<string, Buffer>();
  let handset: Handset | undefined;
  let over: Promise<void> | undefined;

  function keep(callSid: string, wav: Buffer): string {
    const path = `/calls/${callSid}.wav`;
    recordings.set(path, wav);
    dropOldest(recordings, MOST_RECORDINGS);
    return path;
  }

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    const path = request.url ?? '/';
    if (!isOurs(request)) return refuse(response, 403);
    if (request.method !== 'GET') return refuse(response, 405);
    const file = FILES[path];
    const wav = recordings.get(path);
    if (wav !== undefined) return sendRange(response, wav, request.headers.range);
    if (path === '/line')
      return send(response, 'application/json', JSON.stringify({ url: server.url, isParrot }));
    if (file === undefined) return refuse(response, 404);
    send(response, file.type, await readFile(new URL(`page/${file.name}`, import.meta.url)));
  }

  const listener = createServer((request, response) => void respond(request, response));
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MOST_PAYLOAD_BYTES,
    perMessageDeflate: false,
  });
  listener.on('upgrade', (request, socket, head) => {
    socket.on('error', () => {});
    if (!isOurs(request) || request.headers.origin === undefined || request.url !== '/call') {
      socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (page) => {
      page.on('error', () => {});
      if (handset !== undefined) {
        page.send(JSON.stringify({ type: 'over', trouble: 'The telephone is in use in another window.' }));
        page.close(1000);
        return;
      }
      handset = new Handset(page, { server, narrate, keep });
      over = handset.call().finally(() => {
        handset = undefined;
      });
    });
  });
  await once(listener.listen(port, '127.0.0.1'), 'listening');
  // `localhost` may be either.
  const listener6 = createTcpServer((socket) => listener.emit('connection', socket));
  await once(listener6.listen(portOf(listener), '::1'), 'listening').catch((error) => {
    if (NO_IPV6.includes(error.code)) return;
    listener.close();
    throw error;
  });

  return {
    url: `http://127.0.0.1:${portOf(listener)}`,
    onParrot: (event) => handset?.onParrot(event),
    async close() {
      for (const client of sockets.clients) client.close(1001);
      await Promise.race([over, pause(PATIENCE_MS, undefined, { ref: false })]);
      for (const client of sockets.clients) client.terminate();
      listener6.close();
      listener.close();
      listener.closeAllConnections();
      await once(listener, 'close');
    },
  };
}

function files(
  names: string[],
  extension: string,
  type: string,
): Record<string, { name: string; type: string }> {
  return Object.fromEntries(
    names.map((name) => [`/${name}.${extension}`, { name: `${name}.${extension}`, type }]),
  );
}

/** Whether a request names this machine, and comes from this page or by its address: not from a page elsewhere. */
function isOurs({ headers }: IncomingMessage): boolean {
  const { host = '', origin = `http://${host}` } = headers;
  const isThisMachine = /^(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?$/.test(host);
  return isThisMachine && origin === `http://${host}` && headers['sec-fetch-site'] !== 'cross-site';
}

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status).end();
}

function send(response: ServerResponse, type: string, body: string | Buffer): void {
  response.setHeader('Content-Type', type).end(body);
}

/** Sends a recording, or the part that a player asks for. */
function sendRange(response: ServerResponse, wav: Buffer, range = ''): void {
  const { from, to } = /^bytes=(?<from>\d+)-(?<to>\d*)$/.exec(range)?.groups ?? {};
  response.setHeader('Content-Type', 'audio/wav').setHeader('Accept-Ranges', 'bytes');
  if (from === undefined || Number(from) >= wav.length) {
    response.end(wav);
    return;
  }
  const last = Math.min(Number(to || wav.length - 1), wav.length - 1);
  response.statusCode = 206;
  response.setHeader('Content-Range', `bytes ${from}-${last}/${wav.length}`);
  response.end(wav.subarray(Number(from), last + 1));
}
