import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../config.ts';
import type { Persona } from '../contract.ts';
import { type Failure, retryAfterMs, verdict } from '../failure.ts';
import { inTurn } from '../timers.ts';
import type { ServerEvent } from '../wire/openai.ts';
import { LEAVE_MS, READY_MS, Session, type SessionListener } from './session.ts';
import type { Standby } from './standby.ts';

/** Failed sessions that are replaced, within a minute and in a call. */
const MAX_A_MINUTE = 2;
const MAX_A_CALL = 5;
const MINUTE_MS = 60_000;
/** Pauses before dialling again, in ms, at first and in mid-call: an outage of a second is over by then. */
const REDIALS_MS = { first: [0], later: [0, 2_000] };
/** The switch to another session waits for a pause, but not longer than until this time before the expiry, in ms. */
const LEAVE_AT_LAST_MS = 30_000;

/** Where calls get their sessions. */
interface Source {
  config: Config;
  standby: Standby;
}

/** Callbacks for the events of a call's sessions. */
export interface CallSessionsListener {
  /** Called when a session takes audio: the first, or another after `lost`. It knows nothing of earlier ones. */
  ready(): void;
  event(event: ServerEvent): void;
  /** Called when the session, `heardAt` last, fails, or is left as it `isExpiring`: another will be ready. Perhaps more than once. */
  lost(isExpiring: boolean, heardAt: number): void;
  /** Whether the caller waits for a reply, and comes before those who don't. */
  isWaiting(): boolean;
  /** Called when the session fails and no other follows. */
  failed(failure: Failure): void;
}

/** A call's sessions, one after another: the only place that dials again. */
export class CallSessions {
  /** Sessions that replaced another one. */
  takeovers = 0;
  /** Dials that failed and were repeated. */
  redials = 0;
  current: Session;
  readonly #source: Source;
  readonly #persona: Persona;
  readonly #log: FastifyBaseLogger;
  readonly #listener: CallSessionsListener;
  /** The replacement for a session that will expire. */
  #next: Session | undefined;
  /** Whether `current` is or was ready. */
  #wasReady = false;
  #isLast = false;
  /** When `current` must be ready, its repeated dials included. */
  #readyBy = performance.now() + READY_MS;
  /** How often `current` was dialled again. */
  #redialled = 0;
  #redial: NodeJS.Timeout | undefined;
  #ignored = 0;
  readonly #lostAt: number[] = [];
  /** When the call last left an expiring session, or failed to dial the next one. */
  #leftAt = Number.NEGATIVE_INFINITY;

  /** Takes a standby session, otherwise dials. */
  constructor(source: Source, persona: Persona, log: FastifyBaseLogger, listener: CallSessionsListener) {
    this.#source = source;
    this.#persona = persona;
    this.#log = log;
    this.#listener = listener;
    this.current = source.standby.take() ?? this.#dial(this.#active);
  }

  /** To be called right after the constructor, which calls no listener. */
  begin(): void {
    if (this.current.isReady) this.current.handOver(this.#persona, this.#active, this.#log);
  }

  /** Messages that could not be read. */
  get ignored(): number {
    return this.#ignored + this.current.ignored;
  }

  /** Replaces no session any more. */
  keep(): void {
    this.#isLast = true;
    clearTimeout(this.#redial);
    this.#next?.close();
  }

  /** Replaces a session before it expires, in a pause if there is one. The call ends in `restMs` at the latest. */
  tick(isPause: () => boolean, restMs: number): void {
    const now = performance.now();
    const leftMs = this.current.expiresAt - now;
    if (leftMs > LEAVE_MS || this.#isLast || !this.current.isReady || now - this.#leftAt < MINUTE_MS) return;
    if (leftMs - LEAVE_AT_LAST_MS > restMs || (leftMs > LEAVE_AT_LAST_MS && !isPause())) return;
    const ready = this.#takeReady();
    if (ready === undefined) {
      this.#next ??= this.#dial(this.#waiting);
      return;
    }
    this.#leftAt = now;
    this.#log.info({ sessionId: this.current.id, leftMs }, 'session expiring, switching');
    const left = this.current;
    this.#takeOver(ready, true);
    left.close();
  }

  readonly #active: SessionListener = {
    ready: () => {
      this.#wasReady = true;
      this.#listener.ready();
    },
    event: (event) => this.#listener.event(event),
    closing: () => this.#listener.lost(false, this.current.heardAt),
    failed: (failure) => {
      if (this.#isLast || verdict(failure) !== 'again') return this.#listener.failed(failure);
      if (this.#wasReady) this.#replace(failure);
      else this.#dialAgain(failure);
    },
  };

  readonly #waiting: SessionListener = {
    failed: (failure) => {
      this.#next = undefined;
      this.#leftAt = performance.now();
      this.#log.warn(failure, 'next session failed');
    },
  };

  #dial(listener: SessionListener, readyMs = READY_MS): Session {
    return new Session(this.#source.config, this.#persona, this.#log, listener, readyMs);
  }

  #replace(failure: Failure): void {
    const now = performance.now();
    const recent = this.#lostAt.filter((at) => now - at < MINUTE_MS);
    if (recent.length >= MAX_A_MINUTE || this.#lostAt.length >= MAX_A_CALL)
      return this.#listener.failed(failure);
    this.#lostAt.push(now);
    this.#log.warn({ sessionId: this.current.id, ...failure }, 'session failed, switching');
    this.#takeOver(undefined, false);
  }

  #dialAgain(failure: Failure): void {
    const pauseMs = REDIALS_MS[this.takeovers > 0 ? 'later' : 'first'][this.#redialled];
    const delayMs = Math.max(pauseMs ?? 0, retryAfterMs(failure));
    const leftMs = this.#readyBy - performance.now() - delayMs;
    if (pauseMs === undefined || leftMs <= 0) return this.#listener.failed(failure);
    this.#log.warn(failure, 'dialling again');
    this.#redialled += 1;
    this.redials += 1;
    if (delayMs === 0) this.#useNext(leftMs);
    else this.#redial = setTimeout(() => this.#useNext(leftMs), delayMs);
  }

  /** Uses a ready session, or dials, when it is this call's turn: many may have lost theirs at once. */
  #useNext(readyMs?: number): void {
    const use = () => {
      if (!this.#isLast) this.#use(this.#takeReady() ?? this.#dial(this.#active, readyMs));
    };
    inTurn(use, this.#listener.isWaiting());
  }

  #takeReady(): Session | undefined {
    const next = this.#next;
    if (!next?.isReady) return this.#source.standby.take();
    this.#next = undefined;
    return next;
  }

  #takeOver(ready: Session | undefined, isExpiring: boolean): void {
    this.takeovers += 1;
    this.#listener.lost(isExpiring, this.current.heardAt);
    this.#readyBy = performance.now() + READY_MS;
    this.#redialled = 0;
    if (ready === undefined) this.#useNext();
    else this.#use(ready);
  }

  #use(session: Session): void {
    this.#ignored += this.current.ignored;
    this.#next?.close();
    this.#next = undefined;
    this.#wasReady = false;
    this.current = session;
    this.begin();
  }
}
