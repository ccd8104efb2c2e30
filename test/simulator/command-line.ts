import { config as loadEnv } from 'dotenv';
import type { WebhookOptions } from './webhook.ts';

/** Says what is wrong, and ends the process. */
export function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What a command that calls a server is told of it, and of the numbers. */
export const SERVER_OPTIONS = {
  url: { type: 'string' },
  from: { type: 'string' },
  to: { type: 'string' },
} as const;

/**
 * The server to call: at `url`, or on this machine at PORT; with the TWILIO_AUTH_TOKEN and the PUBLIC_URL of the
 * environment or `.env`. Undefined if `url` is no address of a server.
 */
export function readServer({
  url,
  from,
  to,
}: {
  url?: string;
  from?: string;
  to?: string;
}): WebhookOptions | undefined {
  loadEnv({ quiet: true });
  const { PORT, TWILIO_AUTH_TOKEN: authToken, PUBLIC_URL: publicUrl } = process.env;
  const address = url ?? `http://localhost:${PORT || 3000}`;
  if (!/^https?:\/\/[^/]+\/?$/.test(address)) return undefined;
  const numbers = { ...(from && { from }), ...(to && { to }) };
  return { url: address, ...(authToken && { authToken }), ...(publicUrl && { publicUrl }), ...numbers };
}

/** A port as it is written, or undefined. */
export function readPort(text: string): number | undefined {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? Number(text) : undefined;
}

/** Why nothing can listen on `port`. */
export function whyNotListening(port: number, error: unknown): string {
  const { code } = error instanceof Error && 'code' in error ? error : { code: undefined };
  return code === 'EADDRINUSE'
    ? `Another program has port ${port}. End it, or take another with --port.`
    : `Port ${port} can't be listened on: ${messageOf(error)}.`;
}
