import type { FastifyBaseLogger } from 'fastify';
import type { Assistant } from './assistant.ts';
import type { Config } from './config.ts';
import { remedy } from './openai-error.ts';
import { Session, type SessionFailure } from './session.ts';

/** How long to wait before the next attempt, in ms: doubled with each failure, up to the most. */
const BACKOFF_MS = 1_000;
const MOST_BACKOFF_MS = 60_000;
/** A session is kept for this long at least, in ms, however soon it expires: one is as good as the next. */
const LEAST_KEPT_MS = 60_000;

/** Keeps sessions dialled and configured ahead of the next calls, so that those begin with a sound. */
export class Standby {
  readonly #config: Config;
  readonly #assistant: Assistant;
  readonly #log: FastifyBaseLogger;
  /** Those that are being dialled, and those that are ready with the timer by which they are replaced. */
  readonly #sessions = new Map<Session, NodeJS.Timeout | undefined>();
  #failures = 0;
  #backoff: NodeJS.Timeout | undefined;
  #isOpen = false;

  constructor(config: Config, assistant: Assistant, log: FastifyBaseLogger) {
    this.#config = config;
    this.#assistant = assistant;
    this.#log = log;
  }

  open(): void {
    this.#isOpen = true;
    this.#fill();
  }

  /** Hangs up all of them, and dials no more. */
  close(): void {
    this.#isOpen = false;
    clearTimeout(this.#backoff);
    for (const session of this.#sessions.keys()) this.#drop(session);
  }

  /** A session for a call: one that is ready, else one that is dialled now; to be told of by `use` at once. */
  take(): Session {
    for (const [session, timer] of this.#sessions) {
      if (timer === undefined) continue;
      clearTimeout(timer);
      this.#sessions.delete(session);
      this.#failures = 0;
      this.#fill();
      return session;
    }
    return new Session(this.#config, this.#assistant);
  }

  #fill(): void {
    while (
      this.#isOpen &&
      this.#backoff === undefined &&
      this.#sessions.size < this.#config.standbySessions
    ) {
      this.#dial();
    }
  }

  #dial(): void {
    const session = new Session(this.#config, this.#assistant);
    this.#sessions.set(session, undefined);
    session.use({
      ready: () =>
        this.#sessions.set(
          session,
          setTimeout(() => this.#replace(session), this.#keepFor(session)),
        ),
      event: (event) => {
        if (event.type === 'error') this.#fail(session, { reason: 'openai error', error: event.error });
      },
      redialled: (failure) => this.#log.warn(failure, 'dialling OpenAI once more'),
      failed: (failure) => this.#fail(session, failure),
    });
  }

  /** Until what is left of it is no longer enough for a whole call. */
  #keepFor(session: Session): number {
    return Math.max(session.expiresAt - Date.now() - this.#config.maxCallSeconds * 1_000, LEAST_KEPT_MS);
  }

  #replace(session: Session): void {
    this.#failures = 0;
    this.#drop(session);
    this.#fill();
  }

  #fail(session: Session, failure: SessionFailure): void {
    this.#log.error(failure, 'standby session failed');
    const advice = remedy(failure);
    if (advice !== undefined) this.#log.error(advice);
    this.#drop(session);
    const delay = Math.min(BACKOFF_MS * 2 ** this.#failures, MOST_BACKOFF_MS);
    this.#failures += 1;
    clearTimeout(this.#backoff);
    this.#backoff = setTimeout(() => {
      this.#backoff = undefined;
      this.#fill();
    }, delay);
  }

  #drop(session: Session): void {
    clearTimeout(this.#sessions.get(session));
    this.#sessions.delete(session);
    session.close();
  }
}
