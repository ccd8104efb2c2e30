import { type Config, readConfig } from '../../src/config.ts';

/** A configuration that a server can start with, quiet and open to all, with `env` on top. */
export function testConfig(env: Record<string, string> = {}): Config {
  return readConfig({
    OPENAI_API_KEY: 'sk-test',
    ALLOW_UNSIGNED_REQUESTS: 'true',
    LOG_LEVEL: 'silent',
    ...env,
  });
}
