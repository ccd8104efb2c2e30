import { randomUUID } from 'node:crypto';
import { globalAgent } from 'node:https';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { loggable } from './loggable.ts';

/**
 * What every WebSocket here is opened with: no compression, and a close that is over in 0.8 s, answered or not.
 *
 * A side that says close and then nothing is thus noticed within a second, and both are gone within two.
 */
export const socketOptions = { perMessageDeflate: false, closeTimeout: 800 };

/** For OpenAI: each address is tried for longer than TCP takes to repeat a lost SYN, 1 s; Node's default is 250 ms. */
export const dialOptions = { ...socketOptions, autoSelectFamilyAttemptTimeout: 1_500 };

/** What asks the proxy that the environment names, if Node uses it: without an agent, `ws` would go past. */
export const proxyAgent =
  'proxyEnv' in globalAgent.options && globalAgent.options.proxyEnv !== undefined ? globalAgent : undefined;

/** Sends a Buffer as a text frame: neither vendor takes another, and `ws` is quicker with a Buffer than with a string. */
export const TEXT = { binary: false };

/**
 * By the proof of life: how often it is looked for, and how long without a byte, or without it, makes a peer dead, in ms. One
 * that answers pings is missed 12 s after its last byte, before its caller has given up waiting; the other within a minute.
 */
const LIMITS = {
  pong: { checkMs: 3_000, quietMs: 9_000, deadMs: 54_000 },
  bytes: { checkMs: 5_000, quietMs: 55_000, deadMs: 55_000 },
};
/** How often a peer is pinged that sends something, in ms at least. */
const PING_MS = 20_000;
const STALLED_BYTES = 1_048_576;
const FLOOD_MS = 5_000;
const FLOOD_BYTES = 1_048_576;

/**
 * Pings an open WebSocket until it closes, and calls `onDead` once there was nothing from it, or no proof of life, for too long.
 *
 * A `pong` proves that the peer reads what it is sent; it is asked for whenever nothing has come. From a peer that may not
 * answer pings, `bytes` must do: any that come over `tcp`, the connection below the socket; counting them costs a frame nothing.
 */
export function watch(socket: WebSocket, tcp: Socket, proof: 'pong' | 'bytes', onDead: () => void): void {
  const limits = LIMITS[proof];
  let bytes = tcp.bytesRead;
  let ping = '';
  let isAnswered = false;
  let quietMs = 0;
  let silentMs = 0;
  let unpingedMs = 0;
  const timer = setInterval(() => {
    const isQuiet = tcp.bytesRead === bytes;
    const isAlive = proof === 'pong' ? isAnswered : !isQuiet;
    quietMs = isQuiet ? quietMs + limits.checkMs : 0;
    silentMs = isAlive ? 0 : silentMs + limits.checkMs;
    unpingedMs += limits.checkMs;
    bytes = tcp.bytesRead;
    isAnswered = false;
    if (quietMs >= limits.quietMs || silentMs >= limits.deadMs) return onDead();
    const isDue = unpingedMs >= PING_MS || (proof === 'pong' && isQuiet);
    if (!isDue || socket.readyState !== WebSocket.OPEN) return;
    unpingedMs = 0;
    ping = randomUUID();
    socket.ping(ping);
  }, limits.checkMs);
  socket.on('pong', (data) => {
    isAnswered ||= data.toString() === ping;
  });
  socket.once('close', () => clearInterval(timer));
}

/** Returns a function that tells, asked now and then, whether more than 1 MiB has come over `tcp` within 5 s. */
export function floodDetector(tcp: Socket): (now: number) => boolean {
  let since = performance.now();
  let bytes = tcp.bytesRead;
  return (now) => {
    if (now - since >= FLOOD_MS) {
      since = now;
      bytes = tcp.bytesRead;
    }
    return tcp.bytesRead - bytes > FLOOD_BYTES;
  };
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

/** Resolves when `socket` has closed; the reason is fit to be logged. */
export function untilClosed(socket: WebSocket): Promise<Close> {
  return new Promise((resolve) => {
    socket.once('close', (code, reason) => resolve({ code, reason: loggable(reason.toString()) }));
  });
}
