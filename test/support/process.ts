import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));

export interface ServerProcess {
  child: ChildProcess;
  exited: Promise<number | null>;
  /** The parsed log. */
  lines: Record<string, unknown>[];
  /** Resolves to the origin when it listens. */
  listening: Promise<string>;
  /** Resolves to all of stderr when it has exited. */
  stderr: Promise<string>;
}

interface Launch {
  flags?: string[];
  /** The file in this folder that starts it. */
  main?: string;
  /** The working directory; the default has no `.env`. */
  cwd?: string;
  /** A file descriptor for the log, which the test can't read then. */
  stdout?: number;
}

/** The server in a process of its own, with the tests' own assistant. */
export function runServer(
  env: Record<string, string | undefined>,
  { flags = [], main = 'main.ts', cwd = FOLDER, stdout }: Launch = {},
): ServerProcess {
  const child = spawn(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), `${FOLDER}${main}`, ...flags],
    {
      cwd,
      env: {
        PATH: process.env.PATH,
        HOST: '127.0.0.1',
        PORT: '0',
        OPENAI_API_KEY: 'sk-test',
        STANDBY_SESSIONS: '0',
        ...env,
      },
      stdio: ['ignore', stdout ?? 'pipe', 'pipe'],
    },
  );
  const exited = once(child, 'exit').then(([code]) => code);
  const lines: Record<string, unknown>[] = [];
  const listening = new Promise<string>((resolve) => {
    if (child.stdout === null) return;
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(JSON.parse(line));
      const { origin } = /listening at (?<origin>.*)/.exec(String(lines.at(-1)?.msg))?.groups ?? {};
      if (origin !== undefined) resolve(origin);
    });
  });
  let errors = '';
  child.stderr?.on('data', (chunk) => {
    errors += chunk;
  });
  const stderr = once(child, 'close').then(() => errors);
  return { child, exited, lines, listening, stderr };
}
