import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../config.ts';
import type { Assistant } from '../contract.ts';
import { type Failure, logFailure, retryAfterMs, verdict } from '../failure.ts';
import { LEAVE_MS, MAX_SESSION_MS, Session } from './session.ts';

/** Pause after a failure, in ms: doubled with each in a row, and as long as OpenAI asks for, up to the maximum. */
const BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 60_000;
/** From this age, in ms, the end of a session is no failure. None is replaced earlier. */
const SETTLED_MS = 60_000;
/** The longest time that a call needs, in ms: a longer call switches. */
const MAX_NEEDED_MS = MAX_SESSION_MS - LEAVE_MS;
/** Reserve beyond the longest call, in ms: for ringing, and for switching in time. */
const SPARE_MS = 60_000;

/** Sessions kept ready for the next calls. */
export class Standby {
  readonly #config: Config;
  readonly #assistant: Assistant;
  readonly #log: FastifyBaseLogger;
  /** Each with the timer that replaces it; without one while it is dialled. */
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

  close(): void {
    this.#isOpen = false;
    clearTimeout(this.#backoff);
    for (const session of this.#sessions.keys()) this.#drop(session);
  }

  /** Removes and returns a ready session, if any: `handOver` must be called at once. */
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
    this.#fill();
  }

  #fill(): void {
    clearTimeout(this.#backoff);
    this.#backoff = undefined;
    while (this.#isOpen && this.#sessions.size < this.#config.standbySessions) this.#dial();
  }

  #dial(): void {
    let readyAt = Infinity;
    const failed = (failure: Failure) => this.#fail(session, performance.now() - readyAt, failure);
    const session: Session = new Session(this.#config, this.#assistant, this.#log, {
      ready: () => {
        readyAt = performance.now();
        this.#log.info({ sessionId: session.id, model: this.#config.model }, 'standby session ready');
        const timer = setTimeout(() => {
          this.#drop(session);
          this.#fillAtOnce();
        }, this.#keepFor(session));
        this.#sessions.set(session, timer);
      },
      event: (event) => {
        if (event.type === 'error') failed({ reason: 'openai error', error: event.error });
      },
      failed,
    });
    this.#sessions.set(session, undefined);
  }

  /** Returns for how long the session lasts long enough for a whole call, in ms. */
  #keepFor({ expiresAt }: Session): number {
    const neededMs = Math.min(this.#config.maxCallSeconds * 1_000 + SPARE_MS, MAX_NEEDED_MS);
    return Math.max(expiresAt - performance.now() - neededMs, SETTLED_MS);
  }

  #fail(session: Session, readyMs: number, failure: Failure): void {
    logFailure(this.#log, failure, 'standby session failed');
    this.#drop(session);
    if (readyMs >= SETTLED_MS) return this.#fillAtOnce();
    if (this.#backoff !== undefined) return;
    const doublings = verdict(failure) === 'give up' ? Infinity : this.#failures;
    this.#failures += 1;
    const pauseMs = Math.min(Math.max(BACKOFF_MS * 2 ** doublings, retryAfterMs(failure)), MAX_BACKOFF_MS);
    this.#backoff = setTimeout(() => this.#fill(), pauseMs);
  }

  #drop(session: Session): void {
    clearTimeout(this.#sessions.get(session));
    this.#sessions.delete(session);
    session.close();
  }
}
