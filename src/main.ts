import { config as loadEnv } from 'dotenv';
import { buildApp } from './app.ts';
import { type Config, ConfigError, readConfig } from './config.ts';

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
const app = await buildApp(config);
await app.listen({ port: config.port, host: config.host });

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void app.close());
