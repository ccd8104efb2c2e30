import type { Socket } from 'node:net';
import { WebSocket } from 'ws';

/**
 * What every WebSocket here is opened with: no compression, and a close that is over in 0.8 s, answered or not.
 *
 * A side that says close and then nothing is thus noticed within a second, and both are gone within two.
 */
export const socketOptions = { perMessageDeflate: false, closeTimeout: 800 };

/** Sends a Buffer as a text frame: neither vendor takes another, and `ws` is quicker with a Buffer than with a string. */
export const TEXT = { binary: false };

const CHECK_MS = 5_000;
const PING_MS = 20_000;
const DEAD_MS = 60_000;
const STALLED_BYTES = 1_048_576;

/**
 * Pings an open WebSocket every 20 s until it closes, and calls `onDead` once nothing has come for 60 s.
 *
 * `tcp` is the connection below it: any byte counts as life, and counting them costs a frame nothing.
 */
export function watch(socket: WebSocket, tcp: Socket, onDead: () => void): void {
  let bytes = tcp.bytesRead;
  let silentMs = 0;
  let elapsedMs = 0;
  const timer = setInterval(() => {
    elapsedMs += CHECK_MS;
    silentMs = tcp.bytesRead === bytes ? silentMs + CHECK_MS : 0;
    bytes = tcp.bytesRead;
    if (silentMs >= DEAD_MS) onDead();
    else if (elapsedMs % PING_MS === 0 && socket.readyState === WebSocket.OPEN) socket.ping();
  }, CHECK_MS);
  socket.once('close', () => clearInterval(timer));
}

/** Whether the peer has stopped reading: more than 1 MiB is waiting for it. */
export function isStalled(socket: WebSocket): boolean {
  return socket.bufferedAmount > STALLED_BYTES;
}

/** How a WebSocket closed: 1005 stands for no code, 1006 for no close at all. */
export interface Close {
  code: number;
  reason: string;
}

/** Resolves when `socket` has closed. */
export function untilClosed(socket: WebSocket): Promise<Close> {
  return new Promise((resolve) => {
    socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  });
}
