import type { WebSocket } from 'ws';
import type { Assistant } from './assistant.ts';
import type { Config } from './config.ts';
import {
  type ClientEvent,
  dial,
  encodeClientEvent,
  isForPhone,
  type OpenAIError,
  parseServerEvent,
  type ServerEvent,
  sessionUpdate,
} from './openai.ts';

/** Why a session is over: how its socket closed if it did, and OpenAI's last error before that. */
export interface SessionFailure {
  code: number | undefined;
  reason: string;
  error: OpenAIError | undefined;
}

/** Whoever uses a session hears of it here. */
export interface SessionListener {
  /** It is configured, and takes audio. */
  ready(): void;
  /** An event came after it was ready. */
  event(event: ServerEvent): void;
  /** It is over, and not because `close` was called; nothing comes after this. */
  failed(failure: SessionFailure): void;
}

/** One Realtime session: dialled, configured for a telephone, used and closed. */
export class Session {
  readonly #socket: WebSocket;
  readonly #assistant: Assistant;
  readonly #listener: SessionListener;
  #state: 'dialling' | 'configuring' | 'ready' | 'over' = 'dialling';
  #lastError: OpenAIError | undefined;

  constructor(config: Config, assistant: Assistant, listener: SessionListener) {
    this.#assistant = assistant;
    this.#listener = listener;
    this.#socket = dial(config);
    this.#socket.on('message', (data) => this.#received(parseServerEvent(data.toString())));
    this.#socket.on('error', ({ message }) => {
      this.#lastError = { code: undefined, message };
    });
    this.#socket.on('close', (code, reason) => this.#fail(code, reason.toString()));
  }

  /** Sends `event` if the session is ready. */
  send(event: ClientEvent): void {
    if (this.#state === 'ready') this.#socket.send(encodeClientEvent(event));
  }

  close(): void {
    this.#state = 'over';
    this.#socket.close(1000);
  }

  #received(event: ServerEvent | undefined): void {
    if (event?.type === 'error') this.#lastError = event.error;
    if (event !== undefined && this.#state === 'ready') this.#listener.event(event);
    else if (event?.type === 'session.created' && this.#state === 'dialling') this.#configure();
    else if (this.#state === 'configuring') this.#configured(event);
  }

  #configure(): void {
    this.#state = 'configuring';
    this.#socket.send(encodeClientEvent(sessionUpdate(this.#assistant)));
  }

  #configured(event: ServerEvent | undefined): void {
    // A rejected update is discarded whole: the session would hear mu-law as PCM.
    if (event?.type === 'error') this.#fail(undefined, 'session.update was rejected');
    if (event?.type !== 'session.updated') return;
    if (!isForPhone(event.session)) return this.#fail(undefined, 'the session is not audio/pcmu both ways');
    this.#state = 'ready';
    this.#listener.ready();
  }

  #fail(code: number | undefined, reason: string): void {
    if (this.#state === 'over') return;
    this.close();
    this.#listener.failed({ code, reason, error: this.#lastError });
  }
}
