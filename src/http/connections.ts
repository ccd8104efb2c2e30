import type { EventEmitter } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';

/** How long a connection that isn't a stream may last, in ms. */
const CONNECTION_MS = 10_000;
/** How long an upgrade may wait for a handler to take it, in ms. */
const UPGRADE_MS = 1_000;
/** How many connections there may be that aren't streams; beyond that the oldest has to go. */
const MAX_CONNECTIONS = 250;

/** Bounds what strangers' connections to a server cost: how many there are, for how long, and what they may ask for. */
export class Connections {
  /** The connections that aren't streams, the oldest first. */
  readonly #connections = new Map<Socket, NodeJS.Timeout>();
  readonly #asked = new WeakSet<Socket>();

  /** Passes upgrades to `path`, and to a call's own below it, on to `upgrades`, and refuses all others; there may be `maxStreams`. */
  constructor(server: Server, path: string, upgrades: EventEmitter, maxStreams: number) {
    const isStreamPath = new RegExp(`^${path}(/[\\w-]{1,200})?/?(\\?|$)`);
    // A connection carries one request: pipelines of them would keep the calls waiting.
    server.maxRequestsPerSocket = 1;
    server.maxConnections = MAX_CONNECTIONS + maxStreams;
    server.on('dropRequest', (_request, socket) => socket.destroy());
    server.on('connection', (socket) => this.#add(socket));
    server.on('request', ({ socket }) => this.#asked.add(socket));
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head) => {
      socket.on('error', () => socket.destroy());
      this.#limit(socket, UPGRADE_MS);
      const isForStream =
        request.method === 'GET' &&
        request.headers.upgrade?.toLowerCase() === 'websocket' &&
        isStreamPath.test(request.url ?? '') &&
        !this.#asked.has(socket);
      if (isForStream) upgrades.emit('upgrade', request, socket, head);
      else dismiss(socket, '404 Not Found');
    });
  }

  /** Lets a stream stay that a handler has taken. */
  pass(socket: Socket): void {
    clearTimeout(this.#connections.get(socket));
    this.#connections.delete(socket);
  }

  #add(socket: Socket): void {
    this.#limit(socket, CONNECTION_MS);
    socket.once('close', () => this.pass(socket));
    const [oldest] = this.#connections.keys();
    if (this.#connections.size > MAX_CONNECTIONS) oldest?.destroy();
  }

  #limit(socket: Socket, ms: number): void {
    clearTimeout(this.#connections.get(socket));
    this.#connections.set(
      socket,
      setTimeout(() => socket.destroy(), ms),
    );
  }
}

/** Answers a request that no route gets to see with `status`, and closes its connection. */
export function dismiss(socket: Socket, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
}
