import { type Config, readConfig } from '../../src/config.ts';
import { sign } from '../../src/wire/auth.ts';

/** A configuration without signatures, log and standby sessions, with `env` on top. */
export function testConfig(env: Record<string, string> = {}): Config {
  return readConfig({
    OPENAI_API_KEY: 'sk-test',
    ALLOW_UNSIGNED_REQUESTS: 'true',
    STANDBY_SESSIONS: '0',
    LOG_LEVEL: 'silent',
    ...env,
  });
}

export const AUTH_TOKEN = 'a-secret';
export const HOST = 'relay.example.com';

/** The environment of a server that checks signatures. */
export const GUARDED = {
  TWILIO_AUTH_TOKEN: AUTH_TOKEN,
  ALLOW_UNSIGNED_REQUESTS: 'false',
  PUBLIC_URL: `https://${HOST}`,
};

/** Twilio's signature for the stream of that server. */
export const SIGNATURE = { 'x-twilio-signature': sign(AUTH_TOKEN, `wss://${HOST}/media-stream`) };
