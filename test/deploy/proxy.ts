import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { portOf } from '../support/port.ts';

const IS_ROOT = process.getuid?.() === 0;
const CERTIFICATES = process.env.DEPLOY_CERTIFICATES ?? '';

/** Where a proxy listens, what it is in front of, and the folder for its files. */
export interface Place {
  port: number;
  backends: readonly number[];
  folder: string;
}

/** A program, and how it is run on its file in `.github/deploy`. */
export interface ProxyKind {
  name: string;
  command: string;
  version: string[];
  file: string;
  /** The file for `place`: other ports, addresses and certificates, and no more. */
  adapt(text: string, place: Place): string;
  /** Returns the arguments that run the program on the adapted `file` in the foreground. */
  prepare(file: string, place: Place): string[];
  reload: NodeJS.Signals | ((file: string) => string[]);
}

export const HAPROXY: ProxyKind = {
  name: 'HAProxy',
  command: 'haproxy',
  version: ['-v'],
  file: 'haproxy.cfg',
  adapt: (text, { port, backends }) =>
    text
      .replace(/^ {2}(user|group) .*\n/gm, (line) => (IS_ROOT ? line : ''))
      .replace('bind :443', `bind 127.0.0.1:${port}`)
      .replace('/etc/haproxy/relay.pem', join(CERTIFICATES, 'relay.pem'))
      .replace(/^ {2}server relay(\d) .*\n/gm, (_line, n) => {
        const backend = backends[Number(n) - 1];
        return backend === undefined ? '' : `  server relay${n} 127.0.0.1:${backend}\n`;
      }),
  prepare: (file) => ['-W', '-db', '-f', file],
  reload: 'SIGUSR2',
};

export const NGINX: ProxyKind = {
  name: 'nginx',
  command: 'nginx',
  version: ['-v'],
  file: 'nginx.conf',
  adapt: (text, { port, backends }) =>
    text
      .replace('listen 443', `listen 127.0.0.1:${port}`)
      .replace('127.0.0.1:3000', `127.0.0.1:${backends[0]}`)
      .replace('/etc/nginx/relay.pem', join(CERTIFICATES, 'relay.pem'))
      .replace('/etc/nginx/relay.key', join(CERTIFICATES, 'relay.key')),
  prepare(file, { folder }) {
    const main = join(folder, 'main.conf');
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    writeFileSync(
      main,
      `daemon off; pid nginx.pid; events {} http { access_log off;
      ${temporary.map((name) => `${name}_temp_path ${name};`).join(' ')} include ${file}; }`,
    );
    return ['-p', folder, '-c', main, '-e', 'stderr'];
  },
  reload: 'SIGHUP',
};

export const CADDY: ProxyKind = {
  name: 'Caddy',
  command: 'caddy',
  version: ['version'],
  file: 'Caddyfile',
  adapt: (text, { port, backends, folder }) =>
    `{\nadmin unix/${folder}/admin\nauto_https disable_redirects\n}\n${text}`
      .replace(
        'relay.example.com {',
        `https://localhost:${port} {\ntls ${CERTIFICATES}/relay.crt ${CERTIFICATES}/relay.key`,
      )
      .replace('127.0.0.1:3000', `127.0.0.1:${backends[0]}`),
  prepare: (file) => ['run', '--adapter', 'caddyfile', '--config', file],
  reload: (file) => ['reload', '--force', '--adapter', 'caddyfile', '--config', file],
};

export const APACHE: ProxyKind = {
  name: 'Apache',
  command: 'apache2',
  version: ['-v'],
  file: 'apache.conf',
  adapt: (text, { port, backends }) =>
    text
      .replace('*:443', `127.0.0.1:${port}`)
      .replace('127.0.0.1:3000', `127.0.0.1:${backends[0]}`)
      .replace('/etc/apache2/relay.pem', join(CERTIFICATES, 'relay.pem'))
      .replace('/etc/apache2/relay.key', join(CERTIFICATES, 'relay.key')),
  prepare(file, { folder, port }) {
    const main = join(folder, 'main.conf');
    const modules = ['mpm_event', 'authz_core', 'ssl', 'headers', 'proxy', 'proxy_http'];
    writeFileSync(
      main,
      [
        ...modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`),
        `ServerName localhost\nListen 127.0.0.1:${port}\nPidFile ${folder}/pid\nErrorLog ${folder}/log`,
        `Mutex file:${folder}\nDefaultRuntimeDir ${folder}\nInclude ${file}\n`,
        IS_ROOT ? 'User www-data\nGroup www-data\n' : '',
      ].join('\n'),
    );
    return ['-f', main, '-DFOREGROUND'];
  },
  reload: 'SIGUSR1',
};

/** The version of an installed program; undefined if it isn't installed. */
export function versionOf({ command, version }: ProxyKind): string | undefined {
  try {
    const text = execFileSync('sh', ['-c', `${command} ${version.join(' ')} 2>&1`], { encoding: 'utf8' });
    return /\d+\.\d+[^\s/]*/.exec(text)?.[0];
  } catch {
    return undefined;
  }
}

export class RunningProxy {
  readonly origin: string;
  readonly #kind: ProxyKind;
  readonly #file: string;
  readonly #folder: string;
  readonly #child: ChildProcess;

  private constructor(kind: ProxyKind, file: string, { port, folder }: Place, child: ChildProcess) {
    this.#kind = kind;
    this.#file = file;
    this.#folder = folder;
    this.#child = child;
    this.origin = `https://localhost:${port}`;
  }

  /** Runs a program on its file in front of `backends`; `edit` may take lines out of it. */
  static async start(kind: ProxyKind, backends: readonly number[], edit = (text: string) => text) {
    const folder = mkdtempSync(join(tmpdir(), 'voice-relay-proxy-'));
    const place = { port: await freePort(), backends, folder };
    const text = readFileSync(new URL(`../../.github/deploy/${kind.file}`, import.meta.url), 'utf8');
    const edited = edit(text);
    const file = join(folder, kind.file);
    writeFileSync(file, kind.adapt(edited, place));
    const log = join(folder, 'log');
    const output = openSync(log, 'a');
    const child = spawn(kind.command, kind.prepare(file, place), { stdio: ['ignore', output, output] });
    closeSync(output);
    while (!(await isListening(place.port))) {
      if (child.exitCode !== null) throw new Error(`${kind.name} has ended:\n${readFileSync(log, 'utf8')}`);
      await pause(20);
    }
    return new RunningProxy(kind, file, place, child);
  }

  /** Resolves when the program runs on its file anew. */
  async reload(): Promise<void> {
    const { reload, command } = this.#kind;
    if (typeof reload !== 'string') {
      execFileSync(command, reload(this.#file), { stdio: 'pipe' });
      return;
    }
    const before = this.#children();
    this.#child.kill(reload);
    while (this.#children().every((pid) => before.includes(pid))) await pause(20);
  }

  /** What the program has written so far. */
  get output(): string {
    return readFileSync(join(this.#folder, 'log'), 'utf8');
  }

  /** Ends the program with its children, which would wait for their streams. */
  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit');
    const children = this.#children();
    this.#child.kill('SIGKILL');
    for (const pid of children) process.kill(Number(pid), 'SIGKILL');
    await exited;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #children(): string[] {
    const { pid } = this.#child;
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').match(/\d+/g) ?? [];
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

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => socket.destroy());
    socket.on('error', () => {});
    socket.on('close', (hadError) => resolve(!hadError));
  });
}
