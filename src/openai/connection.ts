import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import type { Config } from '../config.ts';
import { parseObject } from '../wire/json.ts';
import { withoutKey } from '../wire/loggable.ts';
import {
  type ClientEvent,
  encodeClientEvent,
  type OpenAIError,
  parseError,
  parseServerEvent,
  type ServerEvent,
} from '../wire/openai.ts';
import { type Close, isStalled, socketOptions, TEXT, watch } from '../wire/socket.ts';

/** How long OpenAI may take to accept a socket, in ms; 0.8 to 2.1 s is usual. */
const HANDSHAKE_MS = 4_000;
/** How long to wait for the rest of a refused handshake's answer, in ms, and how much of it is read. */
const REFUSAL_MS = 500;
const MAX_REFUSAL_CHARACTERS = 10_000;
/** The longest message that OpenAI may send, in bytes; its deltas have a few thousand. */
const MAX_MESSAGE_BYTES = 4_194_304;

/** Whoever opened a connection hears of it here. */
interface ConnectionListener {
  /** An event came; undefined stands for a message that can't be read. */
  event(event: ServerEvent | undefined): void;
  /** It answers no pings. */
  silent(): void;
  closed(close: Close): void;
}

/** One socket to the Realtime API. That the key and the model are good is only known when `session.created` comes. */
export class Connection {
  /** What a handshake was refused with, if it was. */
  httpStatus: number | undefined;
  readonly #socket: WebSocket;
  readonly #apiKey: string;
  #listener: ConnectionListener | undefined;
  #error: OpenAIError | undefined;
  #socketError: OpenAIError | undefined;

  /** Dials. */
  constructor({ realtimeUrl, model, openaiApiKey }: Config, listener: ConnectionListener) {
    this.#apiKey = openaiApiKey;
    this.#listener = listener;
    const url = new URL(realtimeUrl);
    url.searchParams.set('model', model);
    const socket = new WebSocket(url, {
      ...socketOptions,
      handshakeTimeout: HANDSHAKE_MS,
      maxPayload: MAX_MESSAGE_BYTES,
      headers: { Authorization: `Bearer ${openaiApiKey}` },
    });
    this.#socket = socket;
    socket.on('upgrade', ({ socket: tcp }) => watch(socket, tcp, 'pong', () => this.#listener?.silent()));
    socket.on('unexpected-response', (_request, response) => this.#refused(response));
    socket.on('message', (data, isBinary) => {
      const event = isBinary || !Buffer.isBuffer(data) ? undefined : parseServerEvent(data, openaiApiKey);
      if (event?.type === 'error') this.#error = event.error;
      this.#listener?.event(event);
    });
    // A close always follows.
    socket.on('error', ({ message }) => {
      this.#socketError ??= { code: undefined, message: this.#loggable(message) };
    });
    socket.on('close', (code, reason) => {
      this.#listener?.closed({ code, reason: this.#loggable(reason.toString()) });
    });
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  /** OpenAI's last error, which says more than the socket's. */
  get error(): OpenAIError | undefined {
    // A refused handshake is ended by us, which is no news.
    return this.#error ?? (this.httpStatus === undefined ? this.#socketError : undefined);
  }

  /** Sends `event`; returns whether OpenAI is still reading. */
  send(event: ClientEvent): boolean {
    this.#socket.send(encodeClientEvent(event), TEXT);
    return !isStalled(this.#socket);
  }

  close(): void {
    this.#socket.close(1000);
  }

  /** Closes, and tells its listener nothing more. */
  abandon(): void {
    this.#listener = undefined;
    this.close();
  }

  /** The handshake was answered with something other than 101; the body may hold OpenAI's error. */
  #refused(response: IncomingMessage): void {
    this.httpStatus = response.statusCode;
    let body = '';
    const timer = setTimeout(() => response.destroy(), REFUSAL_MS);
    response.setEncoding('utf8');
    response.on('data', (text: string) => {
      body += text;
      if (body.length > MAX_REFUSAL_CHARACTERS) response.destroy();
    });
    response.on('error', () => {});
    response.on('close', () => {
      clearTimeout(timer);
      this.#error = parseError(parseObject(body)?.error, this.#apiKey);
      this.#socket.terminate();
    });
  }

  #loggable(text: string): string {
    return withoutKey(text, this.#apiKey);
  }
}
