import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';
import makeCertificates from '../deploy/certificates.ts';
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

/** What the servers reach OpenAI by: every real call does by TLS. */
export const TRANSPORTS = ['TLS', 'TCP'] as const;
export type Transport = (typeof TRANSPORTS)[number];

process.once('exit', makeCertificates());
const { DEPLOY_CERTIFICATES = '', NODE_EXTRA_CA_CERTS } = process.env;
const KEY = readFileSync(join(DEPLOY_CERTIFICATES, 'relay.key'));
const CERTIFICATE = readFileSync(join(DEPLOY_CERTIFICATES, 'relay.crt'));

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

/** How a server is started: by TLS, without standby sessions, and with an OpenAI that takes no time, unless it says so. */
interface Setting {
  transport?: Transport;
  standbySessions?: number;
  delays?: Delays;
}

/** Starts `program` with an OpenAI of its own, and waits until it listens. */
export async function startServer(program: Program, setting: Setting = {}): Promise<Server> {
  const { transport = 'TLS', standbySessions = 0, delays } = setting;
  const { name, flags, main, sendsMarks } = program;
  const [up, down] = [new Direction(FRAME_MS), new Direction(DELTA_MS)];
  const sessions = new Set<Session>();
  const http = transport === 'TLS' ? createTlsServer({ key: KEY, cert: CERTIFICATE }) : createServer();
  const openai = new WebSocketServer({
    server: http,
    verifyClient: (_, accept) => setTimeout(accept, delays?.accept, true),
  });
  openai.on('connection', (socket) => sessions.add(new Session(socket, up, down, delays)));
  // A hundred may be dialled at once.
  http.listen({ host: 'localhost', port: 0, backlog: 4_096 });
  await once(http, 'listening');
  const { port } = http.address() as AddressInfo;
  const child = spawn(RUN, [...NODE, '--import', PROBE, ...flags, main, name], {
    // No .env is there.
    cwd: dirname(main),
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    env: {
      PATH: process.env.PATH,
      OPENAI_API_KEY: 'sk-bench',
      NODE_EXTRA_CA_CERTS,
      OPENAI_REALTIME_URL: `${transport === 'TLS' ? 'wss' : 'ws'}://localhost:${port}/v1/realtime`,
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
    http.close();
  }

  return { name, host, sendsMarks, up, down, sessions, read, stop };
}
