import { config as loadEnv } from 'dotenv';
import { buildApp } from './app.ts';
import { Calls } from './calls.ts';
import { type Config, ConfigError, readConfig } from './config.ts';
import { LogOutput } from './log.ts';
import { shutDown } from './shutdown.ts';
import { Streams } from './streams.ts';

function configOrExit(): Config {
  try {
    return readConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}

loadEnv({ quiet: true });
const config = configOrExit();
const calls = new Calls(config.maxConcurrentCalls);
const streams = new Streams();
const output = new LogOutput(process.stdout);
const app = await buildApp(config, { calls, streams, logger: { level: config.logLevel, stream: output } });
if (config.twilioAuthToken === undefined) {
  app.log.warn('ALLOW_UNSIGNED_REQUESTS is true: anyone who finds this server can talk on your OpenAI bill');
}
app.listen({ port: config.port, host: config.host }, (error) => {
  if (error === null) return;
  console.error(`The server can't listen on ${config.host}:${config.port}: ${error.message}.`);
  process.exit(1);
});

async function stop(signal: string): Promise<void> {
  app.log.info({ signal, calls: calls.live }, 'shutting down');
  await shutDown(calls, streams, config.shutdownGraceSeconds * 1_000);
  await app.close();
  await output.flush();
  process.exit(0);
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    if (calls.isClosing) process.exit(1);
    void stop(signal);
  });
}
