import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DELTA_MS, type Delays, Direction, FRAME_MS, openaiServer, type Session } from './peers.ts';

const PROBE = fileURLToPath(new URL('probe.js', import.meta.url));
const YARDSTICKS = fileURLToPath(new URL('yardsticks.ts', import.meta.url));

/** A program that is measured: what node runs, in which folder, and whether it sends a mark after audio. */
export interface Program {
  name: string;
  args: string[];
  folder: string;
  sendsMarks: boolean;
}

/** The relay with this main file, and with what its own `npm start` tells node. */
export function relayAt(name: string, main: string): Program {
  const { scripts } = JSON.parse(readFileSync(resolve(main, '../../package.json'), 'utf8'));
  const { flags = '' } = /\bnode (?<flags>.+) \S+$/.exec(scripts.start)?.groups ?? {};
  // There is no .env where its main file is.
  return { name, args: [...flags.split(' '), resolve(main)], folder: dirname(main), sendsMarks: true };
}

/** A program that the relay is compared with. */
export function yardstick(name: 'bare-pipe' | 'plain-relay'): Program {
  const args = ['--import', 'tsx', YARDSTICKS, name];
  return {
    name: name.replace('-', ' '),
    args,
    folder: dirname(YARDSTICKS),
    sendsMarks: name !== 'bare-pipe',
  };
}

const SERVERS_CORE = '0';
const PEERS_CORE = '1';
/** Whether servers have a core, and this process another; otherwise they meet now and then. Linux only. */
const hasCores =
  taskset('--cpu-list', SERVERS_CORE, 'true') &&
  taskset('--all-tasks', '--cpu-list', '--pid', PEERS_CORE, String(process.pid));

function taskset(...args: string[]): boolean {
  return spawnSync('taskset', args).status === 0;
}

/** A running program, and OpenAI's end of its calls, of which those stay that are over. */
export interface Server {
  name: string;
  host: string;
  sendsMarks: boolean;
  up: Direction;
  down: Direction;
  sessions: Set<Session>;
  /** The CPU time so far of all its threads, in µs. */
  cpuUs(): Promise<number>;
  /**
   * The resident memory in bytes, without young garbage.
   *
   * If all garbage were collected, V8 would forget how objects look that are gone just then, and whatever makes such
   * ones, as `ws` does for each frame, would be slower from then on.
   */
  rss(): Promise<number>;
  stop(): Promise<void>;
}

/** Starts `program`, and waits until it listens. */
export async function startServer(program: Program, standbySessions = 0, delays?: Delays): Promise<Server> {
  const { name, args, folder, sendsMarks } = program;
  const [up, down] = [new Direction(FRAME_MS), new Direction(DELTA_MS)];
  const sessions = new Set<Session>();
  const openai = openaiServer(sessions, up, down, delays);
  await once(openai, 'listening');
  const { port } = openai.address() as AddressInfo;
  const node = [process.execPath, '--expose-gc', '--import', PROBE, ...args];
  const [command = '', ...rest] = hasCores ? ['taskset', '--cpu-list', SERVERS_CORE, ...node] : node;
  const child = spawn(command, rest, {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    env: {
      PATH: process.env.PATH,
      OPENAI_API_KEY: 'sk-bench',
      OPENAI_REALTIME_URL: `ws://127.0.0.1:${port}/v1/realtime`,
      ALLOW_UNSIGNED_REQUESTS: 'true',
      STANDBY_SESSIONS: String(standbySessions),
      MAX_CONCURRENT_CALLS: '2000',
      HOST: '127.0.0.1',
      PORT: '0',
      LOG_LEVEL: 'info',
    },
  });
  const host = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`${name} ended with ${code} before it listened`)));
    child.stdout?.on('data', (lines: Buffer) => {
      const { host } = /listening at http:\/\/(?<host>[\d.:]+)/.exec(lines.toString())?.groups ?? {};
      if (host !== undefined) resolve(host);
      else if (/"level":[56]0/.test(lines.toString())) console.error(`${name}: ${lines}`);
    });
  });

  async function read(what: 'cpuUs' | 'rss'): Promise<number> {
    const reading = once(child, 'message');
    child.send(what);
    return (await reading)[0];
  }

  async function stop(): Promise<void> {
    child.kill('SIGKILL');
    await once(child, 'exit');
    openai.close();
  }

  return {
    name,
    host,
    sendsMarks,
    up,
    down,
    sessions,
    cpuUs: () => read('cpuUs'),
    rss: () => read('rss'),
    stop,
  };
}
