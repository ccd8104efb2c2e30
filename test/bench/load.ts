import { setTimeout as pause } from 'node:timers/promises';
import type { Reading, Server } from './server.ts';
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

/** How much load: frames in a hurry, then talk before it is measured, and while it is. */
export interface Load {
  calls: number;
  hurriedFrames: number;
  warmUpMs: number;
  measuredMs: number;
}

/** One run: CPU time of the server in µs for each frame relayed, and latencies in ms. */
export interface Run {
  server: string;
  calls: number;
  frames: number;
  cpuPerFrameUs: number;
  up: { median: number; p99: number };
  down: { median: number; p99: number };
  /** How much of one core the peers themselves took, and by how much they were late at worst, in ms. */
  peersCpu: number;
  peersLateMs: number;
  /** What the server holds at the end, its calls still open and its young garbage collected. */
  held: Reading;
}

/** The calls of one run, connected and talking until `stop` or `close`. */
export class Calls {
  /** By how much frames were late at worst, in ms. */
  lateMs = 0;
  readonly #server: Server;
  readonly #ends: TwilioEnd[];
  #began = 0;
  #frames = 0;
  #next: NodeJS.Immediate | undefined;

  private constructor(server: Server, ends: TwilioEnd[]) {
    this.#server = server;
    this.#ends = ends;
    this.#start();
  }

  /** Dials `count` calls, and waits until each is heard at OpenAI's end. */
  static async dial(server: Server, count: number): Promise<Calls> {
    server.reset();
    const ends = Array.from({ length: count }, (_, index) => new TwilioEnd(server, index));
    await until(() => server.openai.sessions.size === count, HEARD_MS, `${count} dialled by ${server.name}`);
    await pause(OPEN_MS);
    const calls = new Calls(server, ends);
    await until(() => server.openai.live === count, HEARD_MS, `${count} calls heard through ${server.name}`);
    calls.lateMs = 0;
    return calls;
  }

  get marks(): number {
    return this.#ends.reduce((sum, { marks }) => sum + marks, 0);
  }

  /** Sends `frames` frames as fast as they arrive, and more deltas than else; then talks on, as if it had begun then. */
  async hurry(frames: number): Promise<void> {
    this.stop();
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
    this.#start();
  }

  /** Sends no more frames. */
  stop(): void {
    clearImmediate(this.#next);
  }

  #start(): void {
    this.#began = performance.now();
    this.#frames = 0;
    this.#talk();
  }

  /** Hangs up, and waits until the server has left too. */
  async close(): Promise<void> {
    this.stop();
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
  #talk(): void {
    const now = performance.now();
    const count = this.#ends.length;
    const due = ((now - this.#began) / FRAME_MS) * count;
    this.lateMs = Math.max(this.lateMs, ((due - this.#frames) / count) * FRAME_MS);
    for (; this.#frames < due; this.#frames += 1) this.#ends[this.#frames % count]?.sendFrame();
    for (const session of this.#server.openai.sessions) session.sayIfDue(now, count);
    this.#next = setImmediate(() => this.#talk());
  }
}

/** Puts `load` on `server` and measures it. */
export async function run(server: Server, load: Load): Promise<Run> {
  const { up, down } = server;
  const calls = await Calls.dial(server, load.calls);
  try {
    await calls.hurry(load.hurriedFrames);
    await pause(load.warmUpMs);
    calls.lateMs = 0;
    const before = await server.read();
    const [upBefore, downBefore] = [up.received, down.received];
    const peersBefore = process.cpuUsage();
    const began = performance.now();
    up.recording = true;
    down.recording = true;
    await pause(load.measuredMs);
    const after = await server.read();
    up.recording = false;
    down.recording = false;
    const frames = up.received - upBefore + down.received - downBefore;
    const peers = process.cpuUsage(peersBefore);
    const tookUs = (performance.now() - began) * 1_000;
    const peersLateMs = calls.lateMs;
    calls.stop();
    await until(
      () => up.received === up.sent && down.received === down.sent,
      ARRIVE_MS,
      `every frame through ${server.name}`,
    );
    if (server.readsMessages) {
      await until(() => calls.marks === down.sent, ARRIVE_MS, `a mark a delta from ${server.name}`);
    }
    return {
      server: server.name,
      calls: load.calls,
      frames,
      cpuPerFrameUs: (after.cpuUs - before.cpuUs) / frames,
      up: up.latency(),
      down: down.latency(),
      peersCpu: (peers.user + peers.system) / tookUs,
      peersLateMs,
      held: await server.read('scavenge'),
    };
  } finally {
    await calls.close();
  }
}

/** Waits until `isSo`, and throws after `ms`. */
export async function until(isSo: () => boolean, ms: number, what: string): Promise<void> {
  const deadline = performance.now() + ms;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`);
    await pause(5);
  }
}
