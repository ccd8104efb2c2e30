import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';
import { DELTA_MS, type Delays, Direction, FRAME_MS, Session } from './peers.ts';

const PROBE = fileURLToPath(new URL('probe.js', import.meta.url));
const YARDSTICKS = fileURLToPath(new URL('yardsticks.ts', import.meta.url));

/** A program that is measured: what node runs, and whether it sends a mark after audio. */
export interface Program {
  name: string;
  flags: string[];
  main: string;
  sendsMarks: boolean;
}

/** The relay of a checkout, started by this file of it, and with what its `npm start` tells node. */
export function relayAt(name: string, checkout: string, main: string): Program {
  const { scripts } = JSON.parse(readFileSync(resolve(checkout, 'package.json'), 'utf8'));
  const { flags = '' } = /\bnode (?<flags>.+) \S+$/.exec(scripts.start)?.groups ?? {};
  return { name, flags: flags.split(' '), main: resolve(checkout, main), sendsMarks: true };
}

/** A program that the relay is compared with. */
export function yardstick(name: 'bare pipe' | 'plain relay'): Program {
  return { name, flags: ['--import', 'tsx'], main: YARDSTICKS, sendsMarks: name !== 'bare pipe' };
}

/** This process has a core, and the servers another, where there is taskset; otherwise they meet now and then. */
const hasCores = spawnSync('taskset', ['-acp', '1', String(process.pid)]).status === 0;
const [RUN = '', ...NODE] = [...(hasCores ? ['taskset', '-c', '0'] : []), process.execPath, '--expose-gc'];

/** A running program, and OpenAI's end of its calls. */
export interface Server {
  name: string;
  host: string;
  sendsMarks: boolean;
  up: Direction;
  down: Direction;
  sessions: Set<Session>;
  /**
   * Reads the CPU time so far of all its threads, in µs, or its resident memory without young garbage, in bytes: without
   * the old, too, V8 would forget how objects look that are gone just then, and be slower from then on.
   */
  read(what: 'cpuUs' | 'rss'): Promise<number>;
  stop(): Promise<void>;
}

/** Starts `program` with an OpenAI of its own, and waits until it listens. */
export async function startServer(program: Program, standbySessions = 0, delays?: Delays): Promise<Server> {
  const { name, flags, main, sendsMarks } = program;
  const [up, down] = [new Direction(FRAME_MS), new Direction(DELTA_MS)];
  const sessions = new Set<Session>();
  const openai = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    verifyClient: (_, accept) => setTimeout(accept, delays?.accept, true),
  });
  openai.on('connection', (socket) => sessions.add(new Session(socket, up, down, delays)));
  await once(openai, 'listening');
  const { port } = openai.address() as AddressInfo;
  const child = spawn(RUN, [...NODE, '--import', PROBE, ...flags, main, name], {
    // No .env is there.
    cwd: dirname(main),
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

  return { name, host, sendsMarks, up, down, sessions, read, stop };
}
