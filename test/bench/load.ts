import { setTimeout as pause } from 'node:timers/promises';
import type { Reading, Server } from './server.ts';
import type { Latency } from './transit.ts';
import { TwilioEnd } from './twilio-end.ts';
import { FRAME_MS } from './wire.ts';

/** How long a server may take to see its own sockets open, in ms: the yardsticks drop what comes before. */
export const OPEN_MS = 50;
/** How long calls may take to be heard at OpenAI's ends, to have their last frames arrive, and to close, in ms. */
const HEARD_MS = 15_000;
const ARRIVE_MS = 2_000;
const CLOSE_MS = 4_000;
/** How long a hurry may take, in ms: less than a second is usual. */
const HURRIED_MS = 20_000;

/** How many frames are on their way at most in a hurry, and how many go up for each delta then. */
const MOST_ON_THEIR_WAY = 40;
const HURRIED_FRAMES_A_DELTA = 16;

/** Enough for what a process itself holds, its optimized code above all, to be there before the calls are. */
const FIRST_CALL_FRAMES = 15_000;

/** How long a turn is, in ms, and how long a server is talked to in it before it is measured. */
export const TURN_MS = 500;
const SETTLE_MS = 30;

/** How much load: frames in a hurry, then turns of talk. */
export interface Load {
  calls: number;
  hurriedFrames: number;
  turns: number;
}

/** One turn of a server: CPU time in µs for each frame relayed, and latencies in ms. */
export interface Run {
  server: string;
  calls: number;
  frames: number;
  cpuPerFrameUs: number;
  up: Latency;
  down: Latency;
  /** How much of one core the peers themselves took, and by how much they were late at worst, in ms. */
  peersCpu: number;
  peersLateMs: number;
}

/** Resident memory of one process in kB a call. */
export interface Memory {
  server: string;
  rssKb: number;
}

/** What servers did side by side: a list for each turn, and the memory of each in the end. */
export interface Comparison {
  turns: Run[][];
  memory: Memory[];
}

/** A server that has had a first, long call, and what it held then. */
export interface Warm {
  server: Server;
  held: Reading;
}

/** Calls that are connected, and say something between `talk` and `stop`. */
export class Calls {
  /** By how much frames were late at worst since `talk`, in ms. */
  lateMs = 0;
  readonly #server: Server;
  readonly #ends: TwilioEnd[];
  /** How long they have talked, in ms, and how many frames they have sent in that time. */
  #talkedMs = 0;
  #frames = 0;
  #next: NodeJS.Immediate | undefined;

  private constructor(server: Server, ends: TwilioEnd[]) {
    this.#server = server;
    this.#ends = ends;
  }

  /** Dials `count` calls, and has them talk until each is heard at OpenAI's end. */
  static async dial(server: Server, count: number): Promise<Calls> {
    server.reset();
    const ends = Array.from({ length: count }, (_, index) => new TwilioEnd(server, index));
    await until(() => server.openai.sessions.size === count, HEARD_MS, `${count} dialled by ${server.name}`);
    await pause(OPEN_MS);
    const calls = new Calls(server, ends);
    calls.talk();
    await until(() => server.openai.live === count, HEARD_MS, `${count} calls heard through ${server.name}`);
    await calls.stop();
    return calls;
  }

  get count(): number {
    return this.#ends.length;
  }

  get marks(): number {
    return this.#ends.reduce((sum, { marks }) => sum + marks, 0);
  }

  /** Sends `frames` frames as fast as they arrive, and more deltas than else. */
  async hurry(frames: number): Promise<void> {
    const { name, up, openai } = this.#server;
    const sessions = [...openai.sessions];
    const deadline = performance.now() + HURRIED_MS;
    for (let sent = 0; sent < frames; sent += 1) {
      while (up.sent - up.received >= MOST_ON_THEIR_WAY) {
        if (performance.now() > deadline)
          throw new Error(`not within ${HURRIED_MS} ms: ${frames} through ${name}`);
        await new Promise(setImmediate);
      }
      this.#ends[sent % this.#ends.length]?.sendFrame();
      if (sent % HURRIED_FRAMES_A_DELTA === 0) {
        sessions[(sent / HURRIED_FRAMES_A_DELTA) % sessions.length]?.say();
      }
    }
    await this.#arrived();
  }

  /** Goes on as if no time had passed since `stop`. */
  talk(): void {
    this.lateMs = 0;
    this.#talk(performance.now());
  }

  /** Waits until everything that was sent has arrived. */
  async stop(): Promise<void> {
    clearImmediate(this.#next);
    await this.#arrived();
  }

  /** Hangs up, after `stop`, and waits until the server has left too. */
  async close(): Promise<void> {
    for (const end of this.#ends) end.close();
    const late = setTimeout(() => {
      for (const end of this.#ends) end.terminate();
    }, CLOSE_MS);
    await Promise.all(this.#ends.map(({ closed }) => closed));
    clearTimeout(late);
    await until(() => this.#server.openai.sessions.size === 0, CLOSE_MS, `${this.#server.name} hung up`);
  }

  /**
   * Sends what is due, over and over. The calls take turns: with 200 of them a frame is due every 0.1 ms.
   *
   * Timers would send ten at once every ms, and a server that wakes up for ten is another server.
   */
  #talk(last: number): void {
    const now = performance.now();
    this.#talkedMs += now - last;
    const count = this.#ends.length;
    const due = (this.#talkedMs / FRAME_MS) * count;
    this.lateMs = Math.max(this.lateMs, ((due - this.#frames) / count) * FRAME_MS);
    for (; this.#frames < due; this.#frames += 1) this.#ends[this.#frames % count]?.sendFrame();
    for (const session of this.#server.openai.sessions) session.sayIfDue(this.#talkedMs, count);
    this.#next = setImmediate(() => this.#talk(now));
  }

  async #arrived(): Promise<void> {
    const { name, up, down } = this.#server;
    const isSo = () => up.received === up.sent && down.received === down.sent;
    await until(isSo, ARRIVE_MS, `every frame through ${name}`);
  }
}

/** Gives a new server its first call. */
export async function warm(server: Server): Promise<Warm> {
  const first = await Calls.dial(server, 1);
  await first.hurry(FIRST_CALL_FRAMES);
  await first.close();
  return { server, held: await server.read('scavenge') };
}

/**
 * Puts `load` on each of `servers`.
 *
 * They take turns, so short that whatever slows down the machine meanwhile meets all of them alike. What they hold is
 * read with all calls open and without young garbage; the young generation itself has grown by then.
 */
export async function compare(servers: Warm[], load: Load): Promise<Comparison> {
  const all: (Warm & { calls: Calls })[] = [];
  for (const { server, held } of servers) {
    const calls = await Calls.dial(server, load.calls);
    await calls.hurry(load.hurriedFrames);
    all.push({ server, held, calls });
  }
  const turns: Run[][] = [];
  for (let n = 0; n < load.turns; n += 1) {
    const turn: Run[] = [];
    for (const { server, calls } of all) turn.push(await takeTurn(server, calls));
    turns.push(turn);
  }
  const memory: Memory[] = [];
  for (const { server, held, calls } of all) {
    const { name, readsMessages, down } = server;
    if (readsMessages) await until(() => calls.marks === down.sent, ARRIVE_MS, `a mark a delta from ${name}`);
    const { rss } = await server.read('scavenge');
    memory.push({ server: name, rssKb: (rss - held.rss) / load.calls / 1_024 });
    await calls.close();
  }
  return { turns, memory };
}

async function takeTurn(server: Server, calls: Calls): Promise<Run> {
  const { name, up, down } = server;
  calls.talk();
  await pause(SETTLE_MS);
  const before = await server.read();
  const receivedBefore = up.received + down.received;
  const peersBefore = process.cpuUsage();
  const began = performance.now();
  up.record();
  down.record();
  await pause(TURN_MS);
  const after = await server.read();
  const [upLatency, downLatency] = [up.latency(), down.latency()];
  const frames = up.received + down.received - receivedBefore;
  const peers = process.cpuUsage(peersBefore);
  const tookUs = (performance.now() - began) * 1_000;
  await calls.stop();
  return {
    server: name,
    calls: calls.count,
    frames,
    cpuPerFrameUs: (after.cpuUs - before.cpuUs) / frames,
    up: upLatency,
    down: downLatency,
    peersCpu: (peers.user + peers.system) / tookUs,
    peersLateMs: calls.lateMs,
  };
}

/** Waits until `isSo`, and throws after `ms`. */
export async function until(isSo: () => boolean, ms: number, what: string): Promise<void> {
  const deadline = performance.now() + ms;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`);
    await pause(5);
  }
}
