import { config as loadEnv } from 'dotenv';
import { DIALLED, type WebhookOptions } from './webhook.ts';

/** Prints an error, and exits with 1. */
export function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The options of a command that calls a server. */
export const SERVER_OPTIONS = {
  url: { type: 'string' },
  from: { type: 'string' },
  to: { type: 'string' },
  direction: { type: 'string', default: 'inbound' },
  dialled: { type: 'string', default: 'completed' },
} as const;

/**
 * Returns the server to call: at `url`, or on this machine at PORT, with the TWILIO_AUTH_TOKEN and the PUBLIC_URL of
 * the environment or `.env`. Ends the process if an option is wrong.
 */
export function readServer(
  options: { [name in 'url' | 'from' | 'to']?: string | undefined } & { direction: string; dialled: string },
): WebhookOptions {
  loadEnv({ quiet: true });
  const { PORT, TWILIO_AUTH_TOKEN: authToken, PUBLIC_URL: publicUrl } = process.env;
  const { url = `http://localhost:${PORT || 3000}`, from, to } = options;
  if (!/^https?:\/\/[^/?]/.test(url) || !URL.canParse(url)) {
    fail('--url takes an address such as http://localhost:3000, or that of a webhook.');
  }
  const direction = (['inbound', 'outbound'] as const).find((known) => known === options.direction);
  const dialled = DIALLED.find((known) => known === options.dialled);
  if (direction === undefined) fail('--direction takes inbound or outbound.');
  if (dialled === undefined) fail(`--dialled takes ${DIALLED.join(', ')}.`);
  const { origin, pathname, search } = new URL(url);
  return {
    ...{ url: origin, path: (pathname === '/' ? '/incoming-call' : pathname) + search, direction, dialled },
    ...(authToken && { authToken }),
    ...(publicUrl && { publicUrl }),
    ...(from && { from }),
    ...(to && { to }),
  };
}

/** Parses a port. */
export function readPort(text: string): number | undefined {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? Number(text) : undefined;
}

/** The reason for an error of listening, in words. */
export function whyNotListening(port: number, error: unknown): string {
  const { code } = error instanceof Error && 'code' in error ? error : { code: undefined };
  return code === 'EADDRINUSE'
    ? `Another program has port ${port}. End it, or take another with --port.`
    : `Port ${port} can't be listened on: ${messageOf(error)}.`;
}
