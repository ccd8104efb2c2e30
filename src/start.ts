import { existsSync, readFileSync } from 'node:fs';
import { watch } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { parse, populate } from 'dotenv';
import { mistakesOf } from './call/settings.ts';
import { logEscaped, userCode } from './call/user-code.ts';
import { type Config, ConfigError, readConfig } from './config.ts';
import type { Assistant } from './contract.ts';
import { buildApp } from './http/app.ts';
import { LogOutput } from './log.ts';
import { watchStalls } from './timers.ts';

const ENV_FILE = '.env';
/** Signals within this time of the first are the same, in ms: a terminal and npm both pass it on. */
const SAME_SIGNAL_MS = 1_000;
/** Time for an editor that saves in steps, in ms. */
const SAVING_MS = 100;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Loads the assistant, anew if the process has restarted. */
type Load = (restarts: number) => Promise<{ assistant: Assistant }>;

/**
 * Runs the server until a signal, then drains it and exits.
 *
 * With `--dev`, restarts it on changes of `.env`, without time for live calls.
 */
export async function start(load: Load): Promise<void> {
  const isDev = process.argv.includes('--dev');
  let running: Awaited<ReturnType<typeof startOnce>> | undefined;
  let signalledAt: number | undefined;
  let isStopping = false;
  const end = (fields: object) => {
    if (running === undefined) process.exit(1);
    if (!isStopping) void running.stop(fields).finally(() => process.exit());
    isStopping = true;
  };
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (signalledAt !== undefined && performance.now() - signalledAt >= SAME_SIGNAL_MS) process.exit(1);
      signalledAt ??= performance.now();
      end({ signal });
    });
  }
  for (const event of ['uncaughtException', 'unhandledRejection']) {
    process.on(event, (err: unknown) => {
      if (running === undefined) console.error(err);
      else if (logEscaped(err, running.log)) return;
      else running.log.fatal({ err }, 'uncaught error');
      process.exitCode = 1;
      end({ uncaught: true });
    });
  }
  for (let restarts = 0; isDev || restarts === 0; restarts++) {
    // Watched before it is read, so that no change is lost.
    const changed = isDev ? envFileChanged() : undefined;
    try {
      running = await startOnce(() => load(restarts), isDev);
    } catch (error) {
      console.error(error instanceof ConfigError ? error.message : error);
      running = undefined;
      if (!isDev) process.exit(1);
      console.error(`Waiting for src/ or ${ENV_FILE} to change.`);
    }
    await changed;
    if (isDev) await running?.stop({ changed: ENV_FILE });
  }
}

/** Resolves to a server that listens; rejects if it can't start. */
async function startOnce(load: () => ReturnType<Load>, isDev: boolean) {
  readEnvFile();
  const config = readConfig(process.env, fromFile);
  const { assistant } = await userCode.run({}, load);
  const mistakes = mistakesOf(assistant).map((mistake) => `src/assistant.ts: ${mistake}.`);
  if (mistakes.length > 0) throw new ConfigError(mistakes.join('\n'));
  const output = new LogOutput(process.stdout);
  const logger = { level: config.logLevel, stream: output };
  const { app, calls, shutDown } = await buildApp(config, assistant, logger);
  for (const advice of config.cautions) app.log.warn({ advice }, 'unsafe setting');
  const { unknown } = config;
  if (unknown.length > 0) app.log.info({ file: ENV_FILE, variables: unknown }, 'unknown variables');
  try {
    await app.listen({ port: config.port, host: config.host });
  } catch (error) {
    await app.close();
    throw new ConfigError(whyNotListening(config, error));
  }
  const unwatch = watchStalls((ms) => app.log.warn({ ms }, 'stalled'));
  const { publicUrl = 'https://YOUR-NGROK-ADDRESS' } = config;
  app.log.info({ webhook: `${publicUrl}/incoming-call` }, 'ready for calls');
  return {
    log: app.log,
    /** Drains the server; resolves when all calls are over and logged. */
    async stop(fields: object) {
      app.log.info({ ...fields, calls: calls.live }, 'shutting down');
      await shutDown(isDev ? undefined : config.shutdownGraceSeconds * 1_000);
      await app.close();
      unwatch();
      await output.flush();
    },
  };
}

async function envFileChanged(): Promise<void> {
  for await (const { filename } of watch('.')) if (filename === ENV_FILE) break;
  await pause(SAVING_MS);
}

/** Variables that `.env` has set. */
let fromFile: string[] = [];

/** Sets the variables of `.env`, if there is one; those of the environment win. */
function readEnvFile(): void {
  for (const name of fromFile) delete process.env[name];
  try {
    const file = existsSync(ENV_FILE) ? readFileSync(ENV_FILE) : Buffer.of();
    if (file.includes(0)) throw new Error('it is in UTF-16, save it as UTF-8');
    const before = Object.keys(process.env);
    populate(process.env, parse(file));
    fromFile = Object.keys(process.env).filter((name) => !before.includes(name));
  } catch (error) {
    throw new ConfigError(`${ENV_FILE} can't be read: ${error instanceof Error ? error.message : error}`);
  }
}

function whyNotListening({ host, port }: Config, error: unknown): string {
  const { code, message } = error instanceof Error && 'code' in error ? error : { code: '', message: error };
  const advice =
    code === 'EADDRINUSE'
      ? 'another program has that port.\nEnd it, or set PORT to a free one.'
      : `${message}.\nLook at PORT and HOST.`;
  return `The server can't listen on ${host}:${port}: ${advice}`;
}
