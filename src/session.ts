import type { IncomingMessage } from 'node:http';
import type { WebSocket } from 'ws';
import type { Assistant } from './assistant.ts';
import type { Config } from './config.ts';
import { parseObject } from './json.ts';
import {
  type ClientEvent,
  dial,
  encodeClientEvent,
  parseServerEvent,
  type ServerEvent,
  type SessionInfo,
  sessionUpdate,
} from './openai.ts';
import { type OpenAIError, parseError } from './openai-error.ts';
import { type Closed, isStalled, watch } from './socket.ts';

/** How long a session may take from the first dialling until it is ready, in ms. */
const READY_MS = 10_000;
/** OpenAI takes text frames alone. */
const TEXT = { binary: false };
/** OpenAI's own limit to a session, in ms, for where it doesn't say. */
const LONGEST_MS = 3_600_000;
/** How long the rest of a refused handshake's answer is waited for, in ms, and how much of it is read. */
const REFUSAL_MS = 500;
const REFUSAL_CHARACTERS = 10_000;

/** Why a session is over: OpenAI's last error, how its socket closed, or how the handshake was refused. */
export interface SessionFailure {
  reason: string;
  error?: OpenAIError | undefined;
  closed?: Closed | undefined;
  httpStatus?: number | undefined;
}

/** Whoever uses a session hears of it here. */
export interface SessionListener {
  /** It is configured, and takes audio. */
  ready(): void;
  /** An event came after it was ready. */
  event(event: ServerEvent): void;
  /** It is dialled once more, after a failure that may pass. */
  redialled(failure: SessionFailure): void;
  /** It is over, and not because `close` was called; nothing comes after this. */
  failed(failure: SessionFailure): void;
}

/** One Realtime session: dialled, configured for a telephone, used and closed. */
export class Session {
  /** OpenAI's name for it, once known. */
  id: string | undefined;
  /** When OpenAI will end it, in ms since 1970, once known. */
  expiresAt = 0;
  /** How many of OpenAI's messages could not be read. */
  ignored = 0;
  /** Resolves when it is over, and its socket is closed. */
  readonly closed: Promise<Closed>;
  readonly #config: Config;
  readonly #assistant: Assistant;
  readonly #timer: NodeJS.Timeout;
  #listener: SessionListener | undefined;
  #resolveClosed: (closed: Closed) => void = () => {};
  #socket: WebSocket;
  #state: 'dialling' | 'configuring' | 'ready' | 'over' = 'dialling';
  #mayRedial = true;
  #error: OpenAIError | undefined;
  #httpStatus: number | undefined;

  /** Dials; `use` must follow before anything can come back. */
  constructor(config: Config, assistant: Assistant) {
    this.#config = config;
    this.#assistant = assistant;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#timer = setTimeout(() => this.#fail('not ready in time'), READY_MS);
    this.#socket = this.#dial();
  }

  /** From now on tells `listener` and nobody else; at once that it is ready, if it is. */
  use(listener: SessionListener): void {
    this.#listener = listener;
    if (this.#state === 'ready') listener.ready();
  }

  /** Sends `event` if the session is ready. */
  send(event: ClientEvent): void {
    if (this.#state !== 'ready') return;
    this.#socket.send(encodeClientEvent(event), TEXT);
    if (isStalled(this.#socket)) this.#fail('openai stalled');
  }

  close(): void {
    this.#state = 'over';
    clearTimeout(this.#timer);
    this.#socket.close(1000);
  }

  #dial(): WebSocket {
    const socket = dial(this.#config);
    socket.on('upgrade', ({ socket: tcp }) => watch(socket, tcp, () => this.#fail('openai silent')));
    socket.on('unexpected-response', (_request, response) => this.#refused(socket, response));
    socket.on('message', (data, isBinary) => {
      const event = isBinary || !Buffer.isBuffer(data) ? undefined : parseServerEvent(data);
      if (event === undefined) this.ignored += 1;
      else this.#received(event);
    });
    // A close always follows. OpenAI's own error says more than the socket's.
    socket.on('error', ({ message }) => {
      this.#error ??= { code: undefined, message };
    });
    socket.on('close', (code, reason) => this.#closed({ code, reason: reason.toString() }));
    return socket;
  }

  #received(event: ServerEvent): void {
    if (event.type === 'error') this.#error = event.error;
    if (this.#state === 'ready') this.#listener?.event(event);
    else if (this.#state === 'dialling' && event.type === 'session.created') this.#configure(event.session);
    else if (this.#state === 'configuring') this.#configured(event);
  }

  #configure({ id, expiresAt }: SessionInfo): void {
    this.id = id;
    this.expiresAt = expiresAt ?? Date.now() + LONGEST_MS;
    this.#state = 'configuring';
    this.#socket.send(encodeClientEvent(sessionUpdate(this.#assistant)), TEXT);
  }

  #configured(event: ServerEvent): void {
    // A rejected update is discarded whole: the session would hear mu-law as PCM.
    if (event.type === 'error') return this.#fail('session.update rejected');
    if (event.type !== 'session.updated') return;
    if (!event.isForPhone) return this.#fail('session not audio/pcmu');
    this.#state = 'ready';
    clearTimeout(this.#timer);
    this.#listener?.ready();
  }

  /** The handshake was answered with something else than 101; the body may hold OpenAI's error. */
  #refused(socket: WebSocket, response: IncomingMessage): void {
    this.#httpStatus = response.statusCode;
    let body = '';
    response.setEncoding('utf8');
    response.setTimeout(REFUSAL_MS, () => response.destroy());
    response.on('data', (text: string) => {
      body += text;
      if (body.length > REFUSAL_CHARACTERS) response.destroy();
    });
    response.on('error', () => {});
    response.on('close', () => {
      this.#error = parseError(parseObject(body)?.error);
      socket.terminate();
    });
  }

  #closed(closed: Closed): void {
    if (this.#state === 'over') return this.#resolveClosed(closed);
    if (this.#state !== 'ready' && this.#mayRedial && this.#isTransient(closed)) {
      this.#listener?.redialled(this.#failure('dialling failed', closed));
      this.#mayRedial = false;
      this.#state = 'dialling';
      this.#error = undefined;
      this.#httpStatus = undefined;
      this.#socket = this.#dial();
      return;
    }
    this.#fail(this.#state === 'ready' ? 'openai closed' : 'dialling failed', closed);
    this.#resolveClosed(closed);
  }

  /** Refused, reset, timed out or 5xx, rather than told why. */
  #isTransient(closed: Closed): boolean {
    if (this.#httpStatus !== undefined) return this.#httpStatus >= 500;
    return closed.code === 1006 && this.#error?.code === undefined;
  }

  #fail(reason: string, closed?: Closed): void {
    if (this.#state === 'over') return;
    this.close();
    this.#listener?.failed(this.#failure(reason, closed));
  }

  #failure(reason: string, closed?: Closed): SessionFailure {
    return { reason, error: this.#error, closed, httpStatus: this.#httpStatus };
  }
}
