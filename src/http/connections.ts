import type { EventEmitter } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Stream } from '../call/stream.ts';
import type { ThrottledLog } from '../log.ts';
import type { Signatures } from './signatures.ts';

export const STREAM_PATH = '/media-stream';
/** Time for a connection that isn't a stream, in ms. */
const CONNECTION_MS = 10_000;
/** Time for a handler to accept an upgrade, in ms. */
const UPGRADE_MS = 1_000;
/** Connections that aren't streams: beyond that, the oldest that isn't Twilio's is closed. */
const MAX_CONNECTIONS = 250;
/** Streams that may be open without having started, beyond the number of calls; and streams that may take time to close. */
const MAX_EXTRA_STREAMS = 10;
const MAX_CLOSING = 10;

/** Bounds what strangers' connections cost: how many there are, for how long, and what they may ask for. */
export class Connections {
  /** The oldest first, each with the timer that closes it; all but Twilio's may be closed to make room. */
  readonly #plain = new Map<Socket, NodeJS.Timeout>();
  readonly #isTwilios = new WeakSet<Socket>();
  readonly #wasAsked = new WeakSet<Socket>();
  /** Streams that haven't started, the oldest first. */
  readonly #pending = new Set<Stream>();
  /** Streams that ended without having started, and aren't closed yet. */
  readonly #closing = new Set<Stream>();
  readonly #maxPending: number;

  /** Passes upgrades to STREAM_PATH, and to a call's own path below it, on to `upgrades`, and rejects all others. */
  constructor(
    server: Server,
    upgrades: EventEmitter,
    signatures: Signatures,
    refusals: ThrottledLog,
    maxCalls: number,
  ) {
    this.#maxPending = maxCalls + MAX_EXTRA_STREAMS;
    const isStreamPath = new RegExp(`^${STREAM_PATH}(/[\\w-]{1,200})?/?(\\?|$)`);
    // One request a connection: pipelined requests would hold up the calls.
    server.maxRequestsPerSocket = 1;
    server.maxConnections = MAX_CONNECTIONS + maxCalls + this.#maxPending;
    server.on('dropRequest', (_request, socket) => socket.destroy());
    server.on('connection', (socket) => {
      this.#limit(socket, CONNECTION_MS);
      socket.once('close', () => this.#release(socket));
      if (this.#plain.size <= MAX_CONNECTIONS) return;
      const oldest = [...this.#plain.keys()].find((each) => !this.#isTwilios.has(each));
      oldest?.destroy();
      refusals.warn(() => ({ max: MAX_CONNECTIONS }), 'too many connections');
    });
    server.on('request', ({ socket }) => this.#wasAsked.add(socket));
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head) => {
      socket.on('error', () => socket.destroy());
      this.#limit(socket, UPGRADE_MS);
      const isForStream =
        request.method === 'GET' &&
        request.headers.upgrade?.toLowerCase() === 'websocket' &&
        isStreamPath.test(request.url ?? '') &&
        !this.#wasAsked.has(socket);
      if (isForStream) return upgrades.emit('upgrade', request, socket, head);
      signatures.logRejected(request, 404);
      dismiss(socket, '404 Not Found');
    });
  }

  /** A request over `socket` is signed. */
  admit(socket: Socket): void {
    this.#isTwilios.add(socket);
  }

  /** A handler has accepted the upgrade of `socket`: its stream may stay for as long as `stream` lets it. */
  accept(socket: Socket, stream: Stream): void {
    this.#release(socket);
    this.#pending.add(stream);
    // Twilio starts its own at once.
    const [oldest] = this.#pending;
    if (this.#pending.size > this.#maxPending) oldest?.end('no start');
  }

  /** The stream has started, or ends without that. */
  settled(stream: Stream, hasStarted: boolean): void {
    this.#pending.delete(stream);
    if (hasStarted) return;
    this.#closing.add(stream);
    void stream.closed.then(() => this.#closing.delete(stream));
    const [oldest] = this.#closing;
    if (this.#closing.size > MAX_CLOSING) oldest?.destroy();
  }

  #limit(socket: Socket, ms: number): void {
    clearTimeout(this.#plain.get(socket));
    const timer = setTimeout(() => socket.destroy(), ms);
    this.#plain.set(socket, timer);
  }

  #release(socket: Socket): void {
    clearTimeout(this.#plain.get(socket));
    this.#plain.delete(socket);
  }
}

/** Answers a request that no route sees with `status`, and closes its connection. */
export function dismiss(socket: Socket, status: string): void {
  const headers = 'Cache-Control: no-store\r\nConnection: close\r\nContent-Length: 0';
  socket.end(`HTTP/1.1 ${status}\r\n${headers}\r\n\r\n`, () => socket.destroy());
}

/** What `bytes` look like that are no request. */
export function looksLike(bytes: unknown): string | undefined {
  const text = Buffer.isBuffer(bytes) ? bytes.toString('latin1', 0, 12) : '';
  if (text.startsWith('\x16\x03')) return 'TLS';
  if (text.startsWith('PROXY ') || text === '\r\n\r\n\0\r\nQUIT\n') return 'the PROXY protocol';
  return text.startsWith('PRI * HTTP/2') ? 'HTTP/2' : undefined;
}
