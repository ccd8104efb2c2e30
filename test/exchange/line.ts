import { Duplex } from 'node:stream';
import type { Clock, Party } from './clock.ts';

/** How much may be on its way or unread before a writer has to wait, in bytes. */
const WINDOW = 262_144;

export interface LineOptions {
  /** How long a byte takes, in ms, and by how much longer it may take. */
  delayMs: number;
  jitterMs: number;
  random: () => number;
}

/** A TCP connection in simulated time: two ends, each a party's, and what the network does to it. */
export class Line {
  readonly clock: Clock;
  readonly ends: readonly [End, End];
  readonly #options: LineOptions;
  readonly #lastAt = new Map<End, number>();
  #heldUntil = 0;
  #isBroken = false;

  constructor(clock: Clock, from: Party, to: Party, options: LineOptions) {
    this.clock = clock;
    this.#options = options;
    this.ends = [new End(this, from, false), new End(this, to, true)];
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  otherEnd(end: End): End {
    return this.ends[end === this.ends[0] ? 1 : 0];
  }

  /** Takes something from one end to the other, behind all that was sent before. */
  carry(from: End, act: (to: End) => void): void {
    if (this.#isBroken) return;
    const { delayMs, jitterMs, random } = this.#options;
    const to = this.otherEnd(from);
    const soonest = Math.max(this.clock.now, this.#heldUntil) + delayMs + jitterMs * random();
    const at = Math.max(soonest, this.#lastAt.get(to) ?? 0);
    this.#lastAt.set(to, at);
    this.clock.arrive(at, to.party, () => act(to));
  }

  /** Nothing gets through for so long; it comes late, then. */
  hold(ms: number): void {
    this.#heldUntil = this.clock.now + ms;
  }

  /** Nothing gets through any more, and neither end is told. */
  break(): void {
    this.#isBroken = true;
  }

  /** Both ends are told that the connection is reset. */
  reset(): void {
    this.#isBroken = true;
    for (const end of this.ends) this.clock.arrive(this.clock.now, end.party, () => end.reset());
  }
}

/** One end of a connection, as Node's `http` and `ws` use a socket. */
export class End extends Duplex {
  readonly connecting = false;
  readonly remoteAddress = '10.0.0.1';
  readonly party: Party;
  readonly line: Line;
  bytesRead = 0;
  /** What has come and isn't read, and what was sent to this end and hasn't got so far, in bytes. */
  readonly #unread: Buffer[] = [];
  #unacknowledged = 0;
  readonly #writers: (() => void)[] = [];
  #isEnding = false;
  #idleMs = 0;
  #idle: { run: unknown } | undefined;

  constructor(line: Line, party: Party, allowHalfOpen: boolean) {
    super({ allowHalfOpen, highWaterMark: 65_536 });
    this.line = line;
    this.party = party;
    this.on('error', () => {});
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#send(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.#send(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _read(): void {
    for (let chunk = this.#unread.shift(); chunk !== undefined; chunk = this.#unread.shift()) {
      if (!this.#take(chunk)) return;
    }
    if (this.#isEnding) this.push(null);
  }

  override _final(done: () => void): void {
    this.line.carry(this, (to) => to.#end());
    done();
  }

  override _destroy(_error: Error | null, done: () => void): void {
    this.setTimeout(0);
    if (!this.writableFinished) this.line.carry(this, (to) => to.#end());
    for (const writer of this.#writers.splice(0)) writer();
    done();
  }

  reset(): void {
    this.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
  }

  setTimeout(ms: number): this {
    if (this.#idle !== undefined) this.#idle.run = undefined;
    this.#idleMs = ms;
    if (ms > 0) this.#idle = this.line.clock.schedule(ms, this.party, 0, () => this.emit('timeout'));
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  destroySoon(): void {
    this.end(() => this.destroy());
  }

  #send(chunk: Buffer, done: () => void): void {
    const to = this.line.otherEnd(this);
    to.#unacknowledged += chunk.length;
    this.line.carry(this, () => to.#receive(chunk));
    if (to.#unacknowledged <= WINDOW) done();
    else to.#writers.push(done);
  }

  #receive(chunk: Buffer): void {
    // Whoever sends to a closed connection is told so.
    if (this.destroyed) return this.line.carry(this, (to) => to.reset());
    if (this.#idleMs > 0) this.setTimeout(this.#idleMs);
    if (this.#unread.length > 0 || this.readableLength >= this.readableHighWaterMark)
      this.#unread.push(chunk);
    else this.#take(chunk);
  }

  #take(chunk: Buffer): boolean {
    this.bytesRead += chunk.length;
    this.#unacknowledged -= chunk.length;
    if (this.#unacknowledged <= WINDOW) for (const writer of this.#writers.splice(0)) writer();
    return this.push(chunk);
  }

  #end(): void {
    this.#isEnding = true;
    if (!this.destroyed && this.#unread.length === 0) this.push(null);
  }
}
