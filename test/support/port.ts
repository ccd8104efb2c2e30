import type { AddressInfo } from 'node:net';

/** The port of a server, or 0 if it doesn't listen. */
export function portOf(server: { address(): AddressInfo | string | null }): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
