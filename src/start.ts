import { existsSync, readFileSync, unwatchFile, watchFile } from 'node:fs';
import { parse, populate } from 'dotenv';
import type { FastifyBaseLogger } from 'fastify';
import { mistakesOf } from './call/settings.ts';
import { logEscaped, userCode } from './call/user-code.ts';
import { type Config, ConfigError, readConfig } from './config.ts';
import type { Assistant } from './contract.ts';
import { buildApp } from './http/app.ts';
import { LogOutput } from './log.ts';
import { watchStalls } from './timers.ts';

const ENV_FILE = '.env';
/** A signal that comes this soon after the first, in ms, is the same: a terminal and npm both pass it on. */
const SAME_SIGNAL_MS = 1_000;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** A server that listens. */
interface Running {
  log: FastifyBaseLogger;
  /** Lets live calls go on for as long as they may, then ends them; resolves when all is over and logged. */
  stop(fields: object): Promise<void>;
}

/** Loads the assistant, anew if the process has restarted. */
type Load = (restarts: number) => Promise<{ assistant: Assistant }>;

/**
 * The process: reads the environment and `.env`, listens until a signal comes, and ends when the calls have ended.
 *
 * With `--dev` it starts anew whenever `.env` changes, be it to fix a mistake, and gives live calls no time then.
 */
export async function start(load: Load): Promise<void> {
  const isDev = process.argv.includes('--dev');
  let running: Running | undefined;
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
    // The file is watched before it is read, so that no change is missed.
    const changed = isDev ? envFileChanged() : undefined;
    running = await startOnce(() => load(restarts), isDev);
    if (running === undefined && !isDev) process.exit(1);
    if (running === undefined) console.error(`Waiting for ${ENV_FILE} to change.`);
    await changed;
    if (isDev) await running?.stop({ changed: ENV_FILE });
  }
}

/** Says why, and returns undefined, where the server can't be started. */
async function startOnce(load: () => ReturnType<Load>, isDev: boolean): Promise<Running | undefined> {
  let config: Config;
  let assistant: Assistant;
  try {
    readEnvFile();
    config = readConfig(process.env);
    assistant = (await userCode.run({}, load)).assistant;
  } catch (error) {
    console.error(error instanceof ConfigError ? error.message : error);
    return undefined;
  }
  const mistakes = mistakesOf(assistant);
  if (mistakes.length > 0) {
    console.error(mistakes.map((mistake) => `src/assistant.ts: ${mistake}.`).join('\n'));
    return undefined;
  }
  const { host, port } = config;
  const output = new LogOutput(process.stdout);
  const logger = { level: config.logLevel, stream: output };
  const { app, calls, shutDown } = await buildApp(config, assistant, logger);
  if (config.twilioAuthToken === undefined) {
    app.log.warn('ALLOW_UNSIGNED_REQUESTS is true: anyone can talk on your OpenAI bill');
  }
  try {
    await app.listen({ port, host });
  } catch (error) {
    console.error(whyNotListening(config, error));
    await app.close();
    return undefined;
  }
  const unwatch = watchStalls((ms) => app.log.warn({ ms }, 'stalled'));
  app.log.info(whatToDoNext(config));
  return {
    log: app.log,
    async stop(fields) {
      app.log.info({ ...fields, calls: calls.live }, 'shutting down');
      await shutDown(isDev ? undefined : config.shutdownGraceSeconds * 1_000);
      await app.close();
      unwatch();
      await output.flush();
    },
  };
}

function envFileChanged(): Promise<void> {
  return new Promise((resolve) => {
    watchFile(ENV_FILE, { interval: 200 }, (now, before) => {
      // It is called for a file that isn't there, too.
      if (now.mtimeMs === before.mtimeMs) return;
      unwatchFile(ENV_FILE);
      resolve();
    });
  });
}

/** The variables that `.env` has set. */
let fromFile: string[] = [];

/** Sets what `.env` says, where there is one; what the environment had before it stays. */
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

function whatToDoNext({ publicUrl, port }: Config): string {
  if (publicUrl !== undefined) return `Twilio's webhook: ${publicUrl}/incoming-call`;
  return `Next: ngrok http ${port}; Twilio's webhook is ADDRESS/incoming-call`;
}
