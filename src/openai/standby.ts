import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../config.ts';
import type { Assistant } from '../contract.ts';
import { type Failure, logFailure, verdict } from '../failure.ts';
import { LEAVE_MS, MAX_SESSION_MS, Session } from './session.ts';

/** Pause after a failure, in ms: doubled with each in a row, up to the maximum. */
const BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 60_000;
/** A session that was ready for so long, in ms, may end: that is no failure. None is replaced before that. */
const SETTLED_MS = 60_000;
/** The most that a call needs of a session, in ms: a longer call switches. */
const MAX_NEEDED_MS = MAX_SESSION_MS - LEAVE_MS;
/** Reserve beyond the longest call, in ms: for ringing, and for switching in time. */
const SPARE_MS = 60_000;

/** Sessions that are kept ready for the next calls. */
export class Standby {
  readonly #config: Config;
  readonly #assistant: Assistant;
  readonly #log: FastifyBaseLogger;
  /** Each with the timer that replaces it when it gets old; without one while it is dialled. */
  readonly #sessions = new Map<Session, NodeJS.Timeout | undefined>();
  #isOpen = false;
  /** Failures in a row, and the pause after the last one. */
  #failures = 0;
  #backoff: NodeJS.Timeout | undefined;

  constructor(config: Config, assistant: Assistant, log: FastifyBaseLogger) {
    this.#config = config;
    this.#assistant = assistant;
    this.#log = log;
  }

  open(): void {
    this.#isOpen = true;
    this.#fill();
  }

  /** Closes all sessions, and dials no more. */
  close(): void {
    this.#isOpen = false;
    clearTimeout(this.#backoff);
    for (const session of this.#sessions.keys()) this.#drop(session);
  }

  /** Removes and returns a ready session, for which `handOver` must be called at once; undefined if there is none. */
  take(): Session | undefined {
    const ready = [...this.#sessions.keys()].find((session) => session.isReady);
    if (ready === undefined) return undefined;
    clearTimeout(this.#sessions.get(ready));
    this.#sessions.delete(ready);
    this.#fillAtOnce();
    return ready;
  }

  /** Dials without a pause, whatever failed before. */
  #fillAtOnce(): void {
    this.#failures = 0;
    clearTimeout(this.#backoff);
    this.#backoff = undefined;
    this.#fill();
  }

  #fill(): void {
    while (this.#isOpen && this.#sessions.size < this.#config.standbySessions) this.#dial();
  }

  #dial(): void {
    let readyAt = Infinity;
    const session = new Session(this.#config, this.#assistant, this.#log, {
      ready: () => {
        readyAt = performance.now();
        this.#log.info({ sessionId: session.id, model: this.#config.model }, 'standby session ready');
        this.#sessions.set(
          session,
          setTimeout(() => this.#replace(session), this.#keepFor(session)),
        );
      },
      event: (event) => {
        if (event.type === 'error') fail({ reason: 'openai error', error: event.error });
      },
      closing: () => {},
      failed: (failure) => fail(failure),
    });
    const fail = (failure: Failure) => this.#fail(session, performance.now() - readyAt, failure);
    this.#sessions.set(session, undefined);
  }

  /** How long the session lasts long enough for a whole call, in ms. */
  #keepFor({ expiresAt }: Session): number {
    const neededMs = Math.min(this.#config.maxCallSeconds * 1_000 + SPARE_MS, MAX_NEEDED_MS);
    return Math.max(expiresAt - performance.now() - neededMs, SETTLED_MS);
  }

  #replace(session: Session): void {
    this.#drop(session);
    this.#fillAtOnce();
  }

  #fail(session: Session, readyMs: number, failure: Failure): void {
    logFailure(this.#log, failure, 'standby session failed');
    this.#drop(session);
    if (readyMs >= SETTLED_MS) return this.#fillAtOnce();
    if (this.#backoff !== undefined) return;
    const delay = Math.min(BACKOFF_MS * 2 ** this.#failures, MAX_BACKOFF_MS);
    this.#failures += 1;
    this.#backoff = setTimeout(
      () => {
        this.#backoff = undefined;
        this.#fill();
      },
      verdict(failure) === 'give up' ? MAX_BACKOFF_MS : delay,
    );
  }

  #drop(session: Session): void {
    clearTimeout(this.#sessions.get(session));
    this.#sessions.delete(session);
    session.close();
  }
}
