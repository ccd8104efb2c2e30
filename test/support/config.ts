import { type Config, readConfig } from '../../src/config.ts';

/** A configuration that a server can start with, quiet, open to all and without standby, with `env` on top. */
export function testConfig(env: Record<string, string> = {}): Config {
  return readConfig({
    OPENAI_API_KEY: 'sk-test',
    ALLOW_UNSIGNED_REQUESTS: 'true',
    STANDBY_SESSIONS: '0',
    LOG_LEVEL: 'silent',
    ...env,
  });
}
