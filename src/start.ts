import { existsSync, readFileSync, unwatchFile, watchFile } from 'node:fs';
import { parse } from 'dotenv';
import { buildApp } from './app.ts';
import type { Assistant } from './assistant.ts';
import { Calls } from './calls.ts';
import { type Config, ConfigError, readConfig } from './config.ts';
import { LogOutput } from './log.ts';
import { shutDown } from './shutdown.ts';
import { Streams } from './streams.ts';

const ENV_FILE = '.env';
/** A signal that comes this soon after the first, in ms, is the same: a terminal and npm both pass it on. */
const SAME_SIGNAL_MS = 1_000;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * The process: reads the environment and `.env`, listens until a signal comes, and ends when the calls have ended.
 *
 * With `--dev` it waits for a mistake in `.env` to be fixed, and gives live calls no time when it is restarted.
 */
export async function start(assistant: Assistant): Promise<void> {
  const isDev = process.argv.includes('--dev');
  const config = await readConfigOrWait(isDev);
  const calls = new Calls(config.maxConcurrentCalls);
  const streams = new Streams();
  const output = new LogOutput(process.stdout);
  const logger = { level: config.logLevel, stream: output };
  const app = await buildApp(config, assistant, { calls, streams, logger });

  let signalledAt: number | undefined;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (signalledAt === undefined) void stop(signal);
      else if (performance.now() - signalledAt >= SAME_SIGNAL_MS) process.exit(1);
      signalledAt ??= performance.now();
    });
  }

  async function stop(signal: string): Promise<void> {
    app.log.info({ signal, calls: calls.live }, 'shutting down');
    await shutDown(calls, streams, isDev ? 0 : config.shutdownGraceSeconds * 1_000);
    await app.close();
    await output.flush();
    process.exit(0);
  }

  if (config.twilioAuthToken === undefined) {
    app.log.warn(
      'ALLOW_UNSIGNED_REQUESTS is true: anyone who finds this server can talk on your OpenAI bill',
    );
  }
  try {
    await app.listen({ port: config.port, host: config.host });
  } catch (error) {
    console.error(whyNotListening(config, error));
    process.exit(1);
  }
  app.log.info(whatToDoNext(config));
}

/** Throws no ConfigError: it ends the process, or waits for `.env` to change. */
async function readConfigOrWait(waits: boolean): Promise<Config> {
  for (;;) {
    // It is watched before it is read, so that no change is missed.
    const changed = new Promise<void>((resolve) => {
      if (waits) watchFile(ENV_FILE, { interval: 200 }, () => resolve());
    });
    try {
      return readConfig({ ...envFile(), ...process.env });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      console.error(error.message);
      if (!waits) process.exit(1);
      console.error(`Waiting for ${ENV_FILE} to change.`);
      await changed;
    } finally {
      unwatchFile(ENV_FILE);
    }
  }
}

/** What `.env` says, where there is one; variables that are set in the environment come before it. */
function envFile(): Record<string, string> {
  return existsSync(ENV_FILE) ? parse(readFileSync(ENV_FILE)) : {};
}

function whyNotListening({ host, port }: Config, error: unknown): string {
  const { code, message } = error instanceof Error && 'code' in error ? error : { code: '', message: error };
  const advice =
    code === 'EADDRINUSE'
      ? `another program has that port. End it, or set PORT to a free one.`
      : `${message}. Look at PORT and HOST.`;
  return `The server can't listen on ${host}:${port}: ${advice}`;
}

function whatToDoNext({ publicUrl, port }: Config): string {
  const webhook = 'incoming-call';
  if (publicUrl !== undefined) return `In Twilio, set the number's webhook to ${publicUrl.href}${webhook}`;
  return `Next: ngrok http ${port}, and in Twilio set the webhook to its https address + /${webhook}`;
}
