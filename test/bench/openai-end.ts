import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';
import { portOf } from '../support/port.ts';
import type { Transit } from './transit.ts';
import { delta, readTag, sessionEvent } from './wire.ts';

/** How long OpenAI takes, in ms: to accept a socket, to acknowledge a session.update, and to begin a reply. */
export interface Delays {
  accept: number;
  acknowledge: number;
  /** Undefined where deltas are sent by whoever drives the session. */
  reply: number | undefined;
}

const NO_DELAYS: Delays = { accept: 0, acknowledge: 0, reply: undefined };

/**
 * Assistant audio half of the time: 5 deltas (2 s) every 4 s, generated nearly 5 times as fast as they are played.
 *
 * With 200 calls a reply begins every 20 ms: deltas every 80 ms would come from five calls at once, and then from none.
 */
const DELTAS_A_REPLY = 5;
const REPLY_EVERY_MS = 4_000;
const DELTA_EVERY_MS = 84;

/** OpenAI's ends of one server's calls, on a port of their own. */
export class OpenAIEnd {
  readonly url: string;
  readonly sessions = new Set<SessionEnd>();
  readonly #http: Server;
  #dialled = 0;

  private constructor(http: Server, port: number, delays: Delays, up: Transit, down: Transit) {
    this.#http = http;
    this.url = `ws://127.0.0.1:${port}/v1/realtime`;
    const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
    http.on('upgrade', (request, tcp, head) => {
      tcp.on('error', () => {});
      setTimeout(() => {
        sockets.handleUpgrade(request, tcp, head, (socket) => {
          const session = new SessionEnd(socket, this.#dialled, delays, up, down);
          this.#dialled += 1;
          this.sessions.add(session);
          socket.on('close', () => this.sessions.delete(session));
        });
      }, delays.accept);
    });
  }

  static async listen(up: Transit, down: Transit, delays = NO_DELAYS): Promise<OpenAIEnd> {
    const http = createServer();
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    return new OpenAIEnd(http, portOf(http), delays, up, down);
  }

  /** How many sessions a caller is heard on. */
  get live(): number {
    return [...this.sessions].filter(({ isLive }) => isLive).length;
  }

  /** How many sessions are configured and have no call yet. */
  get waiting(): number {
    return [...this.sessions].filter(({ isConfigured, isLive }) => isConfigured && !isLive).length;
  }

  /** Numbers the next sessions from 0; to be called when there is none. */
  reset(): void {
    this.#dialled = 0;
  }

  close(): void {
    for (const session of this.sessions) session.terminate();
    this.#http.close();
  }
}

/** OpenAI's end of one session, which learns only by its first audio that it has a call. */
export class SessionEnd {
  isConfigured = false;
  isLive = false;
  readonly #socket: WebSocket;
  readonly #index: number;
  readonly #delays: Delays;
  readonly #down: Transit;
  #deltas = 0;
  #nextDeltaAt: number | undefined;

  constructor(socket: WebSocket, index: number, delays: Delays, up: Transit, down: Transit) {
    this.#socket = socket;
    this.#index = index;
    this.#delays = delays;
    this.#down = down;
    socket.on('error', (error) => console.error(`OpenAI's end: ${error.message}`));
    socket.on('message', (data) => {
      const tag = readTag(data);
      if (tag === undefined) return this.#other(data.toString());
      this.isLive = true;
      up.receive(tag);
    });
    this.#sendSession('session.created', { type: 'audio/pcm', rate: 24_000 });
  }

  /** Sends the next delta. */
  say(): void {
    this.#down.send({ sender: this.#index, number: this.#deltas });
    this.#socket.send(delta(this.#index, this.#deltas, Math.floor(this.#deltas / DELTAS_A_REPLY)));
    this.#deltas += 1;
  }

  /** Sends the next delta if it is due at `now`; the replies of `count` sessions are spread over time. */
  sayIfDue(now: number, count: number): void {
    if (!this.isLive) return;
    this.#nextDeltaAt ??= now + (this.#index / count) * REPLY_EVERY_MS;
    if (now < this.#nextDeltaAt) return;
    this.say();
    const pause = REPLY_EVERY_MS - (DELTAS_A_REPLY - 1) * DELTA_EVERY_MS;
    this.#nextDeltaAt += this.#deltas % DELTAS_A_REPLY === 0 ? pause : DELTA_EVERY_MS;
  }

  terminate(): void {
    this.#socket.terminate();
  }

  #other(text: string): void {
    const { type } = JSON.parse(text);
    const { acknowledge, reply } = this.#delays;
    if (type === 'session.update') setTimeout(() => this.#configured(), acknowledge);
    if (type === 'response.create' && reply !== undefined) setTimeout(() => this.say(), reply);
  }

  #configured(): void {
    this.isConfigured = true;
    this.#sendSession('session.updated', { type: 'audio/pcmu' });
  }

  #sendSession(type: string, format: object): void {
    this.#socket.send(sessionEvent(type, `sess_${String(this.#index).padStart(21, '0')}`, format));
  }
}
