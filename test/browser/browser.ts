import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Look, Tab } from './page.ts';

/** A browser's devices: all of them, or what is missing. */
export type Devices = 'all' | 'no permission' | 'no microphone' | 'no loudspeaker';

/** Registers a cleanup; the last one runs first. */
export type After = (end: () => unknown) => void;

/** A browser that the page is tried in. */
export interface Browser {
  name: string;
  /** The programs that it takes, each by its possible names. */
  programs: string[][];
  /** Debian's packages of them. */
  packages: string;
  misses: Devices[];
  /** Starts the browser, with nothing in it, on no screen; its microphone hears `wav`. */
  start(devices: Devices, wav: string, after: After): Promise<Visit>;
}

/** A running browser. */
export interface Visit {
  version: string;
  /** Opens `url`, with `script` in the page. */
  open(url: string, look: Look, script: string): Promise<Tab>;
  /** Plays the recording to the microphone, unless the microphone does that itself. */
  speak?(): void;
}

/** Returns the path of the first of the programs that is installed. */
export function find(names: string[]): string | undefined {
  return spawnSync('which', names, { encoding: 'utf8' }).stdout.split('\n')[0] || undefined;
}

export async function emptyFolder(after: After): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'voice-relay-browser-'));
  after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** Starts a program; resolves with the group of `ready` once the program prints it, or at once without `ready`. */
export async function startProgram(
  after: After,
  names: string[],
  args: string[],
  env: NodeJS.ProcessEnv = {},
  ready?: RegExp,
): Promise<string> {
  const child = spawn(find(names) ?? '', args, {
    env: { ...process.env, LC_ALL: 'C', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  after(() => child.kill() && exited);
  const said: string[] = [];
  return await new Promise((resolve, reject) => {
    if (ready === undefined) child.on('spawn', () => resolve(''));
    exited.then(() => reject(new Error(`${names[0]} has ended:\n${said.join('\n')}`)), reject);
    for (const input of [child.stdout, child.stderr]) {
      createInterface({ input }).on('line', (line) => {
        said.push(line);
        const [, found] = ready?.exec(line) ?? [];
        if (found !== undefined) resolve(found);
      });
    }
  });
}
