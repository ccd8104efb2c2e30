/** When the world begins, in ms since 1970. */
export const EPOCH = Date.UTC(2026, 10, 28);
/** How long the machine has been up then, in ms: longer than all stalls of the worlds before. */
const UP_MS = 2 ** 30;
/** How often the event loop turns before what still moves counts as a loop without end. */
const MAX_TURNS = 1_000;
/** What is due at the same time comes in Node's order: timers, what the network brings, immediates. */
const TIMER = 0;
const NETWORK = 1;
const IMMEDIATE = 2;
/** Times are multiples of 2^-6 ms, which floating point adds without error: so runs don't differ in the last digit. */
const TICKS_A_MS = 64;
/** Node's own, by which the world comes to rest. */
const { setImmediate: turn } = globalThis;

/** A party that runs code: a server's process, Twilio, OpenAI. Its events wait while it is stalled. */
export class Party {
  readonly name: string;
  stalledUntil = 0;
  /** By how much its wall clock is off, in ms. */
  skewMs = 0;
  /** What it waits for and that would keep its process alive. */
  readonly timers = new Set<Timer>();

  constructor(name: string) {
    this.name = name;
  }
}

/** What happens at a time: the earliest first, timers before the network, then in the order of scheduling. */
class Happening {
  at: number;
  readonly rank: number;
  readonly order: number;
  readonly party: Party;
  run: (() => void) | undefined;

  constructor(at: number, rank: number, order: number, party: Party, run: () => void) {
    this.at = at;
    this.rank = rank;
    this.order = order;
    this.party = party;
    this.run = run;
  }

  /** As an immediate, it never keeps the process alive. */
  unref(): this {
    return this;
  }

  isBefore(other: Happening): boolean {
    return this.at - other.at < 0 || (this.at === other.at && this.#key < other.#key);
  }

  get #key(): number {
    return this.rank * 2 ** 40 + this.order;
  }
}

/** What `setTimeout` and `setInterval` return. */
class Timer {
  readonly #clock: Clock;
  readonly #party: Party;
  readonly #ms: number;
  readonly #repeats: boolean;
  readonly #run: () => void;
  #happening: Happening | undefined;
  #isRef = true;

  constructor(clock: Clock, run: () => void, ms = 1, repeats = false) {
    this.#clock = clock;
    this.#party = clock.party;
    // As Node has it.
    this.#ms = ms >= 1 && ms <= 2 ** 31 - 1 ? Math.trunc(ms) : 1;
    this.#repeats = repeats;
    this.#run = run;
    this.refresh();
  }

  refresh(): this {
    this.close();
    this.#happening = this.#clock.schedule(this.#ms, this.#party, TIMER, () => {
      if (this.#repeats) this.refresh();
      else this.close();
      this.#run();
    });
    if (this.#isRef) this.#party.timers.add(this);
    return this;
  }

  close(): this {
    if (this.#happening !== undefined) this.#happening.run = undefined;
    this.#party.timers.delete(this);
    return this;
  }

  unref(): this {
    this.#isRef = false;
    this.#party.timers.delete(this);
    return this;
  }

  ref(): this {
    this.#isRef = true;
    return this;
  }

  hasRef(): boolean {
    return this.#isRef;
  }
}

/**
 * Simulated time, in ms since the world began. It stands in for Node's timers and clocks, and moves to the next event once
 * nothing moves any more.
 *
 * `party` is whose code runs now: it owns the timers that are set, and its wall clock is read. Node's and vitest's mock timers
 * know one process only.
 */
export class Clock {
  now = 0;
  party = new Party('world');
  readonly #queue: Happening[] = [];
  #order = 0;
  #restore: (() => void) | undefined;

  /** Puts itself in place of Node's timers and clocks. */
  install(): void {
    const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate } = globalThis;
    const real = { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate };
    const realNow = Date.now;
    const realTime = process.hrtime.bigint;
    const set =
      (repeats: boolean) =>
      (run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) =>
        new Timer(this, () => run(...args), ms, repeats);
    const clear = (timer: unknown) => void (timer instanceof Timer && timer.close());
    Object.assign(globalThis, {
      setTimeout: set(false),
      setInterval: set(true),
      clearTimeout: clear,
      clearInterval: clear,
      setImmediate: (run: () => void) => this.schedule(0, this.party, IMMEDIATE, run),
    });
    process.hrtime.bigint = () => BigInt(this.now * 1e6);
    Date.now = () => EPOCH + Math.floor(this.now) + this.party.skewMs;
    const value = () => UP_MS + this.now;
    Object.defineProperty(performance, 'now', { value, configurable: true, writable: true });
    this.#restore = () => {
      Object.assign(globalThis, real);
      Date.now = realNow;
      Reflect.deleteProperty(performance, 'now');
      process.hrtime.bigint = realTime;
    };
  }

  uninstall(): void {
    this.#restore?.();
  }

  /** Has the network bring something to `party` at a time. */
  arrive(at: number, party: Party, run: () => void): void {
    this.schedule(at - this.now, party, NETWORK, run);
  }

  schedule(ms: number, party: Party, rank: number, run: () => void): Happening {
    this.#order += 1;
    const at = this.now + Math.ceil(Math.max(0, ms) * TICKS_A_MS) / TICKS_A_MS;
    const happening = new Happening(at, rank, this.#order, party, run);
    this.#add(happening);
    return happening;
  }

  /** Runs what is to happen up to `end`, one after the other, or until `isOver`. */
  async run(end: number, isOver: () => boolean): Promise<void> {
    for (let next = this.#queue[0]; next !== undefined && next.at <= end; next = this.#queue[0]) {
      this.#take();
      if (next.run === undefined) continue;
      if (next.party.stalledUntil > next.at) {
        next.at = next.party.stalledUntil;
        this.#add(next);
        continue;
      }
      this.now = next.at;
      await this.as(next.party, next.run);
      if (isOver()) return;
    }
  }

  /** Runs code of a party's, until nothing moves any more. */
  async as(party: Party, run: () => void): Promise<void> {
    this.party = party;
    run();
    let before: number;
    let turns = 0;
    do {
      before = this.#order;
      await new Promise(turn);
      turns += 1;
    } while (this.#order !== before && turns < MAX_TURNS);
    if (turns === MAX_TURNS) throw new Error(`${party.name} does not come to rest`);
  }

  /** A binary heap, whose parents come before their children. */
  #add(happening: Happening): void {
    const queue = this.#queue;
    let index = queue.length;
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = queue[above];
      if (parent === undefined || parent.isBefore(happening)) break;
      queue[index] = parent;
      index = above;
    }
    queue[index] = happening;
  }

  #take(): void {
    const queue = this.#queue;
    const last = queue.pop();
    if (last === undefined || queue.length === 0) return;
    let index = 0;
    for (;;) {
      const [left, right] = [queue[2 * index + 1], queue[2 * index + 2]];
      const isRight = left !== undefined && right?.isBefore(left);
      const child = isRight ? right : left;
      if (child === undefined || !child.isBefore(last)) break;
      queue[index] = child;
      index = 2 * index + (isRight ? 2 : 1);
    }
    queue[index] = last;
  }
}
