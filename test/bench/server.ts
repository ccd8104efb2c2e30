import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { portOf } from '../support/port.ts';
import { onServersCore } from './cores.ts';
import { type Delays, OpenAIEnd } from './openai-end.ts';
import { Transit } from './transit.ts';
import { AUTH_TOKEN } from './twilio-end.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Where results go, and the servers run: there is no .env there. */
export const FOLDER = `${ROOT}.bench/`;
const BUILD = `${FOLDER}build/`;
const PROBE = `${BUILD}test/bench/probe.js`;
/** How long a server may take to listen, to be read and to leave, in ms. */
const BOOT_MS = 15_000;
const READ_MS = 10_000;
const LEAVE_MS = 3_000;

/** A program that is measured: what node runs, and whether it reads what it relays: then it sends marks, too. */
export interface Program {
  name: string;
  command: string[];
  readsMessages: boolean;
}

/** What `npm start` tells node besides which file to run. */
export const START_FLAGS = startFlags();

/** The relay as `npm start` runs it: compiled, with its flags. */
export const RELAY: Program = {
  name: 'relay',
  command: [...START_FLAGS, `${BUILD}src/main.js`],
  readsMessages: true,
};
export const RELAY_UNDER_TSX: Program = {
  name: 'relay under tsx',
  command: [...START_FLAGS, '--import', 'tsx', `${ROOT}src/main.ts`],
  readsMessages: true,
};
export const BARE_PIPE: Program = {
  name: 'bare pipe',
  command: [`${BUILD}test/bench/bare-pipe.js`],
  readsMessages: false,
};
export const BARE_PIPE_WITH_FLAGS: Program = {
  name: "bare pipe with the relay's flags",
  command: [...START_FLAGS, ...BARE_PIPE.command],
  readsMessages: false,
};
export const PLAIN_RELAY: Program = {
  name: 'plain relay',
  command: [`${BUILD}test/bench/plain-relay.js`],
  readsMessages: true,
};

function startFlags(): string[] {
  const { scripts } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
  const words: string[] = scripts.start.split(' ');
  return words.slice(words.indexOf('node') + 1, words.indexOf('.build/main.js'));
}

/** Compiles every program to plain JavaScript; types are for `npm run check`. */
export function compile(): void {
  mkdirSync(BUILD, { recursive: true });
  const files = [
    'src/main.ts',
    'test/bench/bare-pipe.ts',
    'test/bench/plain-relay.ts',
    'test/bench/probe.ts',
  ];
  const config = {
    extends: `${ROOT}tsconfig.json`,
    compilerOptions: { noEmit: false, noCheck: true, outDir: '.', rootDir: ROOT },
    include: [],
    files: files.map((file) => ROOT + file),
  };
  writeFileSync(`${BUILD}tsconfig.json`, JSON.stringify(config));
  const tsc = `${ROOT}node_modules/typescript/bin/tsc`;
  execFileSync(process.execPath, [tsc, '-p', `${BUILD}tsconfig.json`], { stdio: 'inherit', timeout: 60_000 });
}

/** What a process says of itself: its CPU time so far in µs; its resident memory, and its heap with buffers, in B. */
export interface Reading {
  cpuUs: number;
  rss: number;
  heap: number;
}

/** What goes up and down, and how OpenAI's end behaves. */
export interface Peers {
  up: Transit;
  down: Transit;
  delays?: Delays;
}

/** Peers that have sent nothing yet, without delays. */
export function newPeers(): Peers {
  return { up: new Transit(), down: new Transit() };
}

/** The processes that still run; whatever happens, they end with this one. */
const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** A running program, and OpenAI's end of its calls. */
export class Server {
  readonly name: string;
  readonly readsMessages: boolean;
  /** Its address and port. */
  readonly host: string;
  readonly openai: OpenAIEnd;
  /** What goes through it each way. */
  readonly up: Transit;
  readonly down: Transit;
  readonly #child: ChildProcess;

  private constructor(
    { name, readsMessages }: Program,
    { up, down }: Peers,
    host: string,
    openai: OpenAIEnd,
    child: ChildProcess,
  ) {
    this.name = name;
    this.up = up;
    this.down = down;
    this.readsMessages = readsMessages;
    this.host = host;
    this.openai = openai;
    this.#child = child;
  }

  /** Starts `program` with `env`, and waits until it listens. */
  static async start(program: Program, peers: Peers, env: Record<string, string> = {}): Promise<Server> {
    const openai = await OpenAIEnd.listen(peers.up, peers.down, peers.delays);
    const port = await freePort();
    const [command, args] = onServersCore(['--expose-gc', '--import', PROBE, ...program.command]);
    const child = spawn(command, args, {
      cwd: FOLDER,
      // The server's log joins the progress, and stays out of the table.
      stdio: ['ignore', 2, 2, 'ipc'],
      env: {
        PATH: process.env.PATH,
        TSX_TSCONFIG_PATH: `${ROOT}tsconfig.json`,
        OPENAI_API_KEY: 'sk-bench',
        OPENAI_REALTIME_URL: openai.url,
        TWILIO_AUTH_TOKEN: AUTH_TOKEN,
        HOST: '127.0.0.1',
        PORT: String(port),
        LOG_LEVEL: 'warn',
        MAX_CONCURRENT_CALLS: '1000',
        STANDBY_SESSIONS: '0',
        ...env,
      },
    });
    children.add(child);
    child.on('exit', () => children.delete(child));
    await listening(port, child, program.name);
    return new Server(program, peers, `127.0.0.1:${port}`, openai, child);
  }

  /** Forgets what went through, and numbers the next sessions from 0; to be called when no call is open. */
  reset(): void {
    this.up.reset();
    this.down.reset();
    this.openai.reset();
  }

  /**
   * Reads the process; on request once its garbage is collected, all of it or the young.
   *
   * To collect all has V8 forget how objects look that are gone just then: what makes such ones, as `ws` does for each
   * frame that it sends, is slower for the rest of the process's life.
   */
  async read(request: 'now' | 'scavenge' | 'gc' = 'now'): Promise<Reading> {
    const answer = once(this.#child, 'message', { signal: AbortSignal.timeout(READ_MS) });
    this.#child.send(request);
    const [reading] = await answer;
    return reading;
  }

  async stop(): Promise<void> {
    this.openai.close();
    if (this.#child.exitCode !== null) return;
    const left = once(this.#child, 'exit');
    // Its probe then ends it, after which node writes what it was asked to write at exit.
    this.#child.disconnect();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), LEAVE_MS);
    await left;
    clearTimeout(timer);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  server.close();
  await once(server, 'close');
  return port;
}

async function listening(port: number, child: ChildProcess, name: string): Promise<void> {
  for (const deadline = performance.now() + BOOT_MS; performance.now() < deadline; await pause(30)) {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode} before it listened`);
    const socket = connect(port, '127.0.0.1');
    const isOpen = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isOpen) return;
  }
  throw new Error(`${name} did not listen within ${BOOT_MS} ms`);
}
