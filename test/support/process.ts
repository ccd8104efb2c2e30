import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface ServerProcess {
  child: ChildProcess;
  exited: Promise<number | null>;
  /** Its log. */
  lines: Record<string, unknown>[];
  /** Its origin, once it listens. */
  listening: Promise<string>;
}

/** The server in a process of its own, with the tests' own assistant and no `.env`. */
export function runServer(env: Record<string, string>, ...flags: string[]): ServerProcess {
  const child = spawn(process.execPath, ['--import', 'tsx', 'main.ts', ...flags], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    env: {
      PATH: process.env.PATH,
      HOST: '127.0.0.1',
      PORT: '0',
      OPENAI_API_KEY: 'sk-test',
      STANDBY_SESSIONS: '0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit').then(([code]) => code);
  const lines: Record<string, unknown>[] = [];
  const listening = new Promise<string>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(JSON.parse(line));
      const { origin } = /listening at (?<origin>.*)/.exec(String(lines.at(-1)?.msg))?.groups ?? {};
      if (origin !== undefined) resolve(origin);
    });
  });
  return { child, exited, lines, listening };
}
