import { setTimeout as pause } from 'node:timers/promises';
import { DELTAS_A_REPLY, FRAME_MS, Phone, type Session } from './peers.ts';
import type { Server } from './server.ts';

/** How long a turn is, in ms, once it has settled. */
export const TURN_MS = 500;
/** How long a server may take to see its own sockets open, in ms: the yardsticks drop what comes before. */
const SETTLE_MS = 50;
/** How long calls may take to be connected, and to have their last frames arrive, in ms. */
const PATIENCE_MS = 15_000;
const MAX_CONNECTING = 100;
/** How many frames are on their way at most when calls hurry. */
const MAX_ON_THEIR_WAY = 40;
/** Assistant audio half of the time: a reply of 5 deltas (2 s) every 4 s. */
const REPLY_EVERY_MS = 4_000;

/** What a turn showed: CPU time in µs a frame, and each frame's latency in ms. */
export interface Turn {
  cpuUs: number;
  up: number[];
  down: number[];
}

/** A server's calls, which are silent unless they talk, in a hurry, in a turn or until they are stopped. */
export class Calls {
  readonly #server: Server;
  readonly phones: readonly Phone[];
  readonly #sessions: Session[];
  /** How long they have talked, in ms, and what they have sent in that time. */
  #talkedMs = 0;
  #frames = 0;
  #deltas = 0;
  #next: NodeJS.Immediate | undefined;

  private constructor(server: Server, phones: Phone[]) {
    this.#server = server;
    this.phones = phones;
    this.#sessions = [...server.sessions].slice(-phones.length);
  }

  /** Makes `count` calls, and waits until each is heard at both ends. */
  static async make(server: Server, count: number): Promise<Calls> {
    const { size } = server.sessions;
    const phones: Phone[] = [];
    while (phones.length < count) {
      phones.push(new Phone(server));
      const pending = () => size + phones.length - server.sessions.size;
      const most = phones.length < count ? MAX_CONNECTING : 1;
      await until(() => pending() < most, `${count} calls through ${server.name}`);
    }
    await pause(SETTLE_MS);
    const calls = new Calls(server, phones);
    for (const phone of phones) phone.sendFrame();
    await calls.#arrived();
    for (const session of calls.#sessions) session.say();
    await calls.#arrived();
    calls.#finish();
    return calls;
  }

  /** Talks for `ms` of the calls' time, as fast as frames arrive. */
  async hurry(ms: number): Promise<void> {
    for (const end = this.#talkedMs + ms; this.#talkedMs < end; ) {
      while (this.#server.up.onTheirWay >= MAX_ON_THEIR_WAY) await new Promise(setImmediate);
      this.#talkedMs += FRAME_MS / this.phones.length;
      this.#sendDue();
    }
    await this.#arrived();
    this.#finish();
  }

  /** Talks for half a second, and measures the server meanwhile. */
  async takeTurn(): Promise<Turn> {
    const { up, down } = this.#server;
    this.#talk(performance.now(), () => this.#sendDue());
    await pause(SETTLE_MS);
    const before = await this.#server.read('cpuUs');
    for (const { latencies } of [up, down]) latencies.splice(0);
    await pause(TURN_MS);
    const after = await this.#server.read('cpuUs');
    const turn = { up: up.latencies.splice(0), down: down.latencies.splice(0) };
    this.stop();
    await this.#arrived();
    this.#finish();
    return { ...turn, cpuUs: (after - before) / (turn.up.length + turn.down.length) };
  }

  /** Has the phones send frames until `stop`. */
  talk(): void {
    this.#talk(performance.now(), () => this.#sendDueFrames());
  }

  stop(): void {
    clearImmediate(this.#next);
  }

  /** Sends what is due, over and over: with timers, ten frames would come at once every ms. */
  #talk(last: number, send: () => void): void {
    const now = performance.now();
    this.#talkedMs += now - last;
    send();
    this.#next = setImmediate(() => this.#talk(now, send));
  }

  #sendDueFrames(): void {
    const { length } = this.phones;
    const due = (this.#talkedMs / FRAME_MS) * length;
    for (; this.#frames < due; this.#frames += 1) this.phones[this.#frames % length]?.sendFrame();
  }

  /**
   * Calls take turns, so that frames are spread evenly over time. So are deltas: while a reply begins in one call, the
   * next delta is due in the fourth call before it, and so on: each call's come five times as fast as they are played.
   */
  #sendDue(): void {
    this.#sendDueFrames();
    const { length } = this.phones;
    const deltasDue = (this.#talkedMs / REPLY_EVERY_MS) * length * DELTAS_A_REPLY;
    for (; this.#deltas < deltasDue; this.#deltas += 1) {
      const part = this.#deltas % DELTAS_A_REPLY;
      const reply = (this.#deltas - part) / DELTAS_A_REPLY;
      this.#sessions.at((reply - 4 * part) % length)?.say();
    }
  }

  /** A call that is left alone in the middle of a reply would be given up. */
  #finish(): void {
    for (const session of this.#sessions) session.finish();
  }

  async #arrived(): Promise<void> {
    const { name, up, down } = this.#server;
    await until(() => up.onTheirWay === 0 && down.onTheirWay === 0, `every frame through ${name}`);
  }
}

async function until(isSo: () => boolean, what: string): Promise<void> {
  for (const deadline = performance.now() + PATIENCE_MS; !isSo(); await pause(5)) {
    if (performance.now() > deadline) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
  }
}
