import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../config.ts';
import type { Persona } from '../contract.ts';
import { type Failure, verdict } from '../failure.ts';
import type { ClientEvent } from '../wire/openai.ts';
import type { Close } from '../wire/socket.ts';
import { Session, type SessionListener } from './session.ts';
import type { Standby } from './standby.ts';

/** How many sessions may take over from ones that failed: within a minute, and in a call. */
const MAX_A_MINUTE = 2;
const MAX_A_CALL = 5;
const MINUTE_MS = 60_000;
/** How long after a vain dialling the next one takes over, in ms: what can't be reached now may be in a moment. */
const RETRY_MS = 2_000;
/** How long before OpenAI ends a session the call leaves it: from then on at a pause, and at the latest, in ms. */
export const LEAVE_MS = 300_000;
const LEAVE_AT_LAST_MS = 30_000;

/** What every call has its sessions from. */
interface Source {
  config: Config;
  standby: Standby;
}

/** Whoever uses the sessions hears of them here. */
export interface CallSessionsListener extends Omit<SessionListener, 'redialling'> {
  /**
   * The session is gone, or `isExpiring` and left; another will be ready, which knows nothing of what this one was told. Of
   * one session this may be said more than once.
   */
  lost(isExpiring: boolean): void;
}

/** The sessions of a call, one after another: where one fails for a reason that may pass, or is to expire, another takes over. */
export class CallSessions {
  /** How many took over. */
  takeovers = 0;
  /** How many were dialled once more. */
  redials = 0;
  readonly #source: Source;
  readonly #persona: Persona;
  readonly #log: FastifyBaseLogger;
  readonly #listener: CallSessionsListener;
  #session: Session;
  /** The one that is to take over when this one expires. */
  #next: Session | undefined;
  #wasReady = false;
  #isLast = false;
  #retry: NodeJS.Timeout | undefined;
  #ignored = 0;
  /** When sessions failed that were replaced, and when the call last left one, or failed to dial the next, in ms. */
  readonly #failedAt: number[] = [];
  #leftAt = Number.NEGATIVE_INFINITY;

  /** Takes one that is kept ready, otherwise dials. */
  constructor(source: Source, persona: Persona, log: FastifyBaseLogger, listener: CallSessionsListener) {
    this.#source = source;
    this.#persona = persona;
    this.#log = log;
    this.#listener = listener;
    this.#session = source.standby.take() ?? this.#dial(this.#heard);
  }

  /** To be called at once: the listener hears of a session that is ready. */
  begin(): void {
    if (this.isReady) this.#session.handOver(this.#persona, this.#heard, this.#log);
  }

  /** OpenAI's name for the present one, once known. */
  get id(): string | undefined {
    return this.#session.id;
  }

  get isReady(): boolean {
    return this.#session.isReady;
  }

  /** How many of OpenAI's messages could not be read. */
  get ignored(): number {
    return this.#ignored + this.#session.ignored;
  }

  /** Resolves when the present one is over, and its socket is closed. */
  get closed(): Promise<Close> {
    return this.#session.closed;
  }

  /** To be called before there is something to send: notices a session that OpenAI is closing, which takes nothing more. */
  check(): void {
    if (!this.isReady) this.#listener.lost(false);
  }

  /** Sends `event` if the session is ready. */
  send(event: ClientEvent): void {
    this.#session.send(event);
  }

  /** From now on no other takes over. */
  keep(): void {
    this.#isLast = true;
    clearTimeout(this.#retry);
    this.#next?.close();
  }

  close(): void {
    this.keep();
    this.#session.close();
  }

  /**
   * To be called a few times a second, `restMs` before the call ends at the latest: has another session take over before this
   * one expires, at a pause if there is one.
   */
  tick(isPause: () => boolean, restMs: number): void {
    const leftMs = this.#session.expiresAt - Date.now();
    const now = performance.now();
    if (this.#isLast || !this.isReady || leftMs > LEAVE_MS || now - this.#leftAt < MINUTE_MS) return;
    if (leftMs - LEAVE_AT_LAST_MS > restMs || (leftMs > LEAVE_AT_LAST_MS && !isPause())) return;
    const ready = this.#takeReady();
    if (ready === undefined) {
      this.#next ??= this.#dial(this.#waiting);
      return;
    }
    this.#leftAt = now;
    this.#log.info({ sessionId: this.id, leftMs }, 'another session takes over from one that is to expire');
    const left = this.#session;
    this.#takeOver(ready, true);
    left.close();
  }

  readonly #heard: SessionListener = {
    ready: () => {
      this.#wasReady = true;
      this.#listener.ready();
    },
    event: (event) => this.#listener.event(event),
    redialling: () => {
      this.redials += 1;
      this.#listener.lost(false);
    },
    failed: (failure) => {
      if (!this.#mayPass(failure)) return this.#listener.failed(failure);
      this.#failedAt.push(performance.now());
      this.#log.warn({ sessionId: this.id, ...failure }, 'another session takes over from one that failed');
      const ready = this.#takeReady();
      if (ready !== undefined || failure.reason !== 'dialling failed') return this.#takeOver(ready, false);
      this.#retry = setTimeout(() => this.#takeOver(this.#takeReady(), false), RETRY_MS);
    },
  };

  /** What is heard of the next one while it waits. */
  readonly #waiting: SessionListener = {
    ready: () => {},
    event: () => {},
    redialling: () => {},
    failed: (failure) => {
      this.#next = undefined;
      this.#leftAt = performance.now();
      this.#log.warn(failure, 'the next session failed');
    },
  };

  #dial(listener: SessionListener): Session {
    return new Session(this.#source.config, this.#persona, this.#log, listener);
  }

  /** Whether another session may do better: not if it lasts, and not for ever. */
  #mayPass(failure: Failure): boolean {
    const now = performance.now();
    const recent = this.#failedAt.filter((at) => now - at < MINUTE_MS);
    const isInTime = recent.length < MAX_A_MINUTE && this.#failedAt.length < MAX_A_CALL;
    return this.#wasReady && !this.#isLast && isInTime && verdict(failure) === 'again';
  }

  #takeReady(): Session | undefined {
    const next = this.#next;
    if (!next?.isReady) return this.#source.standby.take();
    this.#next = undefined;
    return next;
  }

  #takeOver(ready: Session | undefined, isExpiring: boolean): void {
    this.takeovers += 1;
    this.#ignored += this.#session.ignored;
    this.#listener.lost(isExpiring);
    this.#next?.close();
    this.#next = undefined;
    this.#session = ready ?? this.#dial(this.#heard);
    this.begin();
  }
}
