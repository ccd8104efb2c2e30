import type { Reason } from '../failure.ts';

/** A stream that is open, whether its call has started or not, or whose end is still to be logged. */
export interface Stream {
  readonly hasStarted: boolean;
  /** To be called a few times a second. */
  tick(): void;
  end(reason: Reason): void;
  /** Ends it once the assistant has said why, if a call has begun. */
  conclude(reason: Reason): void;
}

/** How often every stream is ticked, in ms: one timer for all wakes the process less than one for each. */
const TICK_MS = 250;

/** The streams that are open, with a clock for all of them. */
export class Streams {
  readonly #open = new Set<Stream>();
  #ticker: NodeJS.Timeout | undefined;
  #isShut = false;

  add(stream: Stream): void {
    this.#open.add(stream);
    this.#ticker ??= setInterval(() => {
      for (const each of this.#open) each.tick();
    }, TICK_MS);
  }

  remove(stream: Stream): void {
    this.#open.delete(stream);
    if (this.#open.size > 0) return;
    clearInterval(this.#ticker);
    this.#ticker = undefined;
  }

  /** Whether no stream is to begin any more. */
  get isShut(): boolean {
    return this.#isShut;
  }

  get open(): number {
    return this.#open.size;
  }

  /** How many haven't started yet. */
  get waiting(): number {
    return [...this.#open].filter(({ hasStarted }) => !hasStarted).length;
  }

  /** Ends the one that has waited to start for longest: Twilio's own start at once. */
  endOldestWaiting(): void {
    for (const stream of this.#open) {
      if (!stream.hasStarted) return stream.end('no start');
    }
  }

  /** Ends them all, and those whose call has begun `with a word` of the assistant's; none is to begin after that. */
  shutDown(how: 'at once' | 'with a word'): void {
    this.#isShut = true;
    for (const stream of this.#open) {
      if (how === 'at once') stream.end('shutdown');
      else stream.conclude('shutdown');
    }
  }
}
