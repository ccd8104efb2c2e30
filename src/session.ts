import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import type { Assistant } from './assistant.ts';
import type { Config } from './config.ts';
import type { Reason } from './ending.ts';
import { type Failure, type OpenAIError, parseError, withoutKey } from './openai-error.ts';
import { parseObject } from './wire/json.ts';
import {
  type ClientEvent,
  dial,
  encodeClientEvent,
  parseServerEvent,
  type ServerEvent,
  type SessionInfo,
  sessionUpdate,
} from './wire/openai.ts';
import { type Closed, isStalled, TEXT, watch } from './wire/socket.ts';

/** How long a session may take from the first dialling until it is ready, in ms. */
const READY_MS = 10_000;
/** OpenAI's own limit to a session, in ms. */
const LONGEST_MS = 3_600_000;
/** How long is waited for the close after an error, or for the rest of a refused handshake's answer, in ms. */
const LAST_WORDS_MS = 500;
/** How much of a refused handshake's answer is read. */
const REFUSAL_CHARACTERS = 10_000;

/** Whoever uses a session hears of it here. */
export interface SessionListener {
  /** It is configured, and takes audio. */
  ready(): void;
  /** An event came after it was ready. */
  event(event: ServerEvent): void;
  /** It is dialled once more, after a failure that may pass. */
  redialled(failure: Failure): void;
  /** It is over, and not because `close` was called; nothing comes after this. */
  failed(failure: Failure): void;
}

/** One socket, and what was learnt on it: a session that is dialled again has another. */
interface Attempt {
  socket: WebSocket;
  /** OpenAI's last error, which says more than the socket's. */
  error?: OpenAIError | undefined;
  socketError?: string;
  httpStatus?: number | undefined;
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
  #listener: SessionListener | undefined;
  #resolveClosed: (closed: Closed) => void = () => {};
  #attempt: Attempt;
  #state: 'dialling' | 'configuring' | 'ready' | 'over' = 'dialling';
  #mayRedial = true;
  #timer: NodeJS.Timeout;

  /** Dials; `use` must follow before anything can come back. */
  constructor(config: Config, assistant: Assistant) {
    this.#config = config;
    this.#assistant = assistant;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#timer = setTimeout(() => this.#fail('not ready in time'), READY_MS);
    this.#attempt = this.#dial();
  }

  /** Whether it takes audio: not if OpenAI has begun to close it. */
  get isReady(): boolean {
    return this.#state === 'ready' && this.#attempt.socket.readyState === WebSocket.OPEN;
  }

  /** From now on tells `listener` and nobody else; at once that it is ready, if it is. */
  use(listener: SessionListener): void {
    this.#listener = listener;
    if (this.#state === 'ready') listener.ready();
  }

  /** Sends `event` if the session is ready. */
  send(event: ClientEvent): void {
    if (this.#state !== 'ready') return;
    const { socket } = this.#attempt;
    socket.send(encodeClientEvent(event), TEXT);
    if (isStalled(socket)) this.#fail('openai stalled');
  }

  close(): void {
    this.#state = 'over';
    clearTimeout(this.#timer);
    this.#attempt.socket.close(1000);
  }

  #dial(): Attempt {
    const socket = dial(this.#config);
    const attempt: Attempt = { socket };
    socket.on('upgrade', ({ socket: tcp }) => watch(socket, tcp, () => this.#fail('openai silent')));
    socket.on('unexpected-response', (_request, response) => this.#refused(attempt, response));
    socket.on('message', (data, isBinary) => {
      const event = isBinary || !Buffer.isBuffer(data) ? undefined : parseServerEvent(data);
      if (event === undefined) this.ignored += 1;
      else this.#received(event);
    });
    // A close always follows.
    socket.on('error', ({ message }) => {
      // A handshake that was refused is ended by us, which is no news.
      if (attempt.httpStatus === undefined) attempt.socketError = message;
    });
    socket.on('close', (code, reason) => {
      this.#closed({ code, reason: withoutKey(reason.toString(), this.#config.openaiApiKey) });
    });
    return attempt;
  }

  #received(event: ServerEvent): void {
    if (event.type === 'error') this.#attempt.error = this.#redacted(event.error);
    else if (event.type === 'response.done') this.#redacted(event.response.error);
    switch (this.#state) {
      case 'ready':
        return this.#listener?.event(event);
      case 'configuring':
        return this.#configured(event);
      case 'dialling':
        if (event.type === 'session.created') this.#configure(event.session);
        if (event.type === 'error') this.#expectClose();
    }
  }

  /** The key or the model is refused: a close should follow, and say more. */
  #expectClose(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fail('openai error'), LAST_WORDS_MS);
  }

  #configure({ id, expiresAt = Infinity }: SessionInfo): void {
    this.id = id;
    this.expiresAt = Math.min(expiresAt, Date.now() + LONGEST_MS);
    this.#state = 'configuring';
    this.#attempt.socket.send(encodeClientEvent(sessionUpdate(this.#assistant)), TEXT);
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
  #refused(attempt: Attempt, response: IncomingMessage): void {
    attempt.httpStatus = response.statusCode;
    let body = '';
    const timer = setTimeout(() => response.destroy(), LAST_WORDS_MS);
    response.setEncoding('utf8');
    response.on('data', (text: string) => {
      body += text;
      if (body.length > REFUSAL_CHARACTERS) response.destroy();
    });
    response.on('error', () => {});
    response.on('close', () => {
      clearTimeout(timer);
      attempt.error = this.#redacted(parseError(parseObject(body)?.error));
      attempt.socket.terminate();
    });
  }

  #closed(closed: Closed): void {
    if (this.#state === 'over') return this.#resolveClosed(closed);
    const isReady = this.#state === 'ready';
    if (!isReady && this.#mayRedial && this.#isTransient(closed)) {
      this.#listener?.redialled(this.#failure('dialling failed', closed));
      this.#mayRedial = false;
      this.#state = 'dialling';
      this.#attempt = this.#dial();
      return;
    }
    this.#fail(isReady ? 'openai closed' : 'dialling failed', closed);
    this.#resolveClosed(closed);
  }

  /** Refused, reset, timed out or 5xx, rather than told why. */
  #isTransient({ code }: Closed): boolean {
    const { error, httpStatus } = this.#attempt;
    return httpStatus === undefined ? code === 1006 && error === undefined : httpStatus >= 500;
  }

  #fail(reason: Reason, closed?: Closed): void {
    if (this.#state === 'over') return;
    this.close();
    this.#listener?.failed(this.#failure(reason, closed));
  }

  #failure(reason: Reason, closed?: Closed): Failure {
    const { socketError, httpStatus } = this.#attempt;
    const { error = socketError === undefined ? undefined : { code: undefined, message: socketError } } =
      this.#attempt;
    return { reason, error, closed, httpStatus };
  }

  /** The error as it may be logged. */
  #redacted(error: OpenAIError | undefined): OpenAIError | undefined {
    if (error === undefined) return undefined;
    const { openaiApiKey } = this.#config;
    error.code &&= withoutKey(error.code, openaiApiKey);
    error.message &&= withoutKey(error.message, openaiApiKey);
    return error;
  }
}
