import { isDeepStrictEqual } from 'node:util';
import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../config.ts';
import type { Persona } from '../contract.ts';
import { type Failure, type Reason, verdict } from '../failure.ts';
import type { ClientEvent, OpenAIError, ServerEvent, SessionInfo } from '../wire/openai.ts';
import type { Close } from '../wire/socket.ts';
import { Connection } from './connection.ts';
import { sessionUpdate } from './session-update.ts';

/** How long a session may take from dialling until it is ready, in ms. */
const READY_MS = 10_000;
/** How long to wait for the close after a refusal, in ms. */
const CLOSE_MS = 500;
/** OpenAI's own limit to a session, in ms. */
export const MAX_SESSION_MS = 3_600_000;
/** How many of OpenAI's errors are logged one by one. */
const MAX_ERRORS_LOGGED = 20;

/** Whoever uses a session hears of it here. */
export interface SessionListener {
  /** It is configured, and takes audio. */
  ready(): void;
  /** An event came after it was ready. */
  event(event: ServerEvent): void;
  /** It is dialled again and forgets all that it was told; it will be ready once more. */
  redialling(): void;
  /** It is over, and not because `close` was called; nothing comes after this. */
  failed(failure: Failure): void;
}

/** One Realtime session: dialled, configured for a telephone, used and closed. Where nothing is lost by it, it redials itself. */
export class Session {
  /** OpenAI's name for it, once known. */
  id: string | undefined;
  /** When OpenAI will end it, in ms since 1970, once known. */
  expiresAt = 0;
  /** How many of OpenAI's messages could not be read. */
  ignored = 0;
  /** Resolves when it is over, and its socket is closed. */
  readonly closed: Promise<Close>;
  readonly #config: Config;
  /** What it is configured with. */
  #update: ClientEvent;
  /** Whether OpenAI is still to say that it took another update. */
  #isUpdating = false;
  #log: FastifyBaseLogger;
  #listener: SessionListener;
  #resolveClosed: (close: Close) => void = () => {};
  #connection: Connection;
  #state: 'dialling' | 'refused' | 'configuring' | 'ready' | 'over' = 'dialling';
  #redialsLeft = 1;
  #errorsLogged = 0;
  #timer: NodeJS.Timeout | undefined;

  /** Dials. */
  constructor(config: Config, persona: Persona, log: FastifyBaseLogger, listener: SessionListener) {
    this.#config = config;
    this.#update = sessionUpdate(persona);
    this.#log = log;
    this.#listener = listener;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#failIn(READY_MS, 'not ready in time');
    this.#connection = this.#dial();
  }

  /** Whether it takes audio: not if OpenAI has begun to close it. */
  get isReady(): boolean {
    return this.#state === 'ready' && this.#connection.isOpen;
  }

  /**
   * Makes a session that is ready `listener`'s and `persona`'s, which hears of that at once, and logs to `log` from now on.
   *
   * It may have died unseen while nobody used it: until OpenAI is heard on it, it may be dialled again. What is only noticed
   * by silence ends the call, as in any session.
   */
  handOver(persona: Persona, listener: SessionListener, log: FastifyBaseLogger): void {
    this.#listener = listener;
    this.#log = log;
    this.#redialsLeft = 2;
    const update = sessionUpdate(persona);
    // OpenAI takes one event after the other: what follows the update needs no wait.
    this.#isUpdating = !isDeepStrictEqual(update, this.#update);
    if (this.#isUpdating) this.send(update);
    this.#update = update;
    listener.ready();
  }

  /** Sends `event` if the session is ready. */
  send(event: ClientEvent): void {
    if (this.#state === 'ready' && !this.#connection.send(event)) this.#fail('openai stalled');
  }

  close(): void {
    this.#state = 'over';
    clearTimeout(this.#timer);
    this.#connection.close();
  }

  #dial(): Connection {
    return new Connection(this.#config, {
      event: (event) => this.#received(event),
      silent: () => this.#fail('openai silent'),
      closed: (close) => {
        this.#fail(this.#state === 'ready' ? 'openai closed' : 'dialling failed', close);
        if (this.#state === 'over') this.#resolveClosed(close);
      },
    });
  }

  #received(event: ServerEvent | undefined): void {
    if (event === undefined) {
      this.ignored += 1;
      return;
    }
    switch (this.#state) {
      case 'dialling':
        if (event.type === 'session.created') this.#configure(event.session);
        if (event.type === 'error') this.#expectClose();
        return;
      case 'configuring':
        return this.#configured(event);
      case 'ready':
        this.#redialsLeft = 0;
        if (event.type === 'session.updated') this.#isUpdating = false;
        if (event.type === 'error') this.#logError('openai error', event.error);
        if (
          event.type === 'error' &&
          this.#isUpdating &&
          (event.error.param ?? 'session').startsWith('session')
        ) {
          return this.#fail('session.update rejected');
        }
        if (event.type === 'response.done' && event.response.status === 'failed') {
          this.#logError('response failed', event.response.error);
        }
        return this.#listener.event(event);
    }
  }

  /** The key or the model is refused: a close should follow, and say more. */
  #expectClose(): void {
    this.#state = 'refused';
    this.#failIn(CLOSE_MS, 'openai error');
  }

  #configure({ id, expiresAt = Infinity }: SessionInfo): void {
    const now = Date.now();
    this.id = id;
    // What is over already says more of a clock than of the session.
    this.expiresAt = Math.min(expiresAt > now ? expiresAt : Infinity, now + MAX_SESSION_MS);
    this.#state = 'configuring';
    this.#connection.send(this.#update);
  }

  #configured(event: ServerEvent): void {
    // A rejected update is discarded whole: the session would hear mu-law as PCM.
    if (event.type === 'error') return this.#fail('session.update rejected');
    if (event.type !== 'session.updated') return;
    if (!event.isForPhone) return this.#fail('session not audio/pcmu');
    this.#state = 'ready';
    this.#redialsLeft = 0;
    clearTimeout(this.#timer);
    this.#listener.ready();
  }

  #logError(message: string, error: OpenAIError | undefined): void {
    this.#errorsLogged += 1;
    if (this.#errorsLogged <= MAX_ERRORS_LOGGED) this.#log.warn({ sessionId: this.id, error }, message);
  }

  #failIn(ms: number, reason: Reason): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fail(reason), ms);
  }

  #fail(reason: Reason, closed?: Close): void {
    if (this.#state === 'over') return;
    const { error, httpStatus } = this.#connection;
    const failure: Failure = { reason, error, closed, httpStatus };
    if (this.#redialsLeft > 0 && verdict(failure) === 'again') return this.#redial(failure);
    this.close();
    this.#listener.failed(failure);
  }

  #redial(failure: Failure): void {
    this.#log.warn(failure, 'dialling OpenAI once more');
    this.#redialsLeft -= 1;
    // Until it was refused, or ready, the time that it has is that of the first dialling.
    if (this.#state === 'ready' || this.#state === 'refused') this.#failIn(READY_MS, 'not ready in time');
    this.#state = 'dialling';
    this.#connection.abandon();
    this.#connection = this.#dial();
    this.#listener.redialling();
  }
}
