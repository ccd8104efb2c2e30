import { randomUUID } from 'node:crypto';
import { globalAgent } from 'node:https';
import type { Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import { WebSocket } from 'ws';
import { every } from '../timers.ts';
import { loggable } from './loggable.ts';

/** Options of all WebSockets: no compression, and 0.8 s for the close, so that both sides of a call are gone within 2 s. */
export const socketOptions = { perMessageDeflate: false, closeTimeout: 800 };

/** Whether Node uses the proxy in the environment. */
export const isProxied = 'proxyEnv' in globalAgent.options && globalAgent.options.proxyEnv !== undefined;

/** Shared by all connections: one of their own takes time and memory. */
const secureContext = createSecureContext();

/** Returns the options for dialling `url`: without an agent, `ws` bypasses the proxy. */
export function dialOptions({ protocol }: URL) {
  return {
    ...socketOptions,
    secureContext,
    // In ms for each address: TCP repeats a lost SYN after 1 s, Node's default is 250 ms.
    autoSelectFamilyAttemptTimeout: 1_500,
    ...(isProxied && protocol === 'wss:' && { agent: globalAgent }),
  };
}

/** Sends a Buffer as a text frame: vendors take no other, and `ws` is quicker with a Buffer than with a string. */
export const TEXT = { binary: false };

/**
 * By the proof of life: the interval of checks, and the time without a byte or without proof after which a peer is dead, in ms.
 *
 * A peer that answers pings is dead 12 s after its last byte, before its caller gives up; the other within a minute.
 */
const LIMITS = {
  pong: { checkMs: 3_000, maxQuietMs: 9_000, maxSilentMs: 54_000 },
  bytes: { checkMs: 5_000, maxQuietMs: 55_000, maxSilentMs: 55_000 },
};
/** Interval of pings to a peer that sends something, in ms. */
const PING_MS = 20_000;
const STALLED_BYTES = 1_048_576;
const FLOOD_MS = 5_000;
const FLOOD_BYTES = 1_048_576;

/**
 * Pings an open WebSocket until it closes. Calls `onDead` after too long without a byte, or without proof of life.
 *
 * A `pong` proves that the peer reads; a silent peer is pinged at every check. If the peer may ignore pings, any `bytes` over
 * `tcp`, the connection below the socket, are proof: counting them costs a frame nothing.
 */
export function watch(socket: WebSocket, tcp: Socket, proof: 'pong' | 'bytes', onDead: () => void): void {
  const { checkMs, maxQuietMs, maxSilentMs } = LIMITS[proof];
  let bytes = tcp.bytesRead;
  let ping = '';
  let isAnswered = false;
  let quietMs = 0;
  let silentMs = 0;
  let unpingedMs = 0;
  const timer = every(checkMs, () => {
    const isQuiet = tcp.bytesRead === bytes;
    const isAlive = proof === 'pong' ? isAnswered : !isQuiet;
    quietMs = isQuiet ? quietMs + checkMs : 0;
    silentMs = isAlive ? 0 : silentMs + checkMs;
    unpingedMs += checkMs;
    bytes = tcp.bytesRead;
    isAnswered = false;
    if (quietMs >= maxQuietMs || silentMs >= maxSilentMs) return onDead();
    const isDue = unpingedMs >= PING_MS || (proof === 'pong' && isQuiet);
    if (!isDue || socket.readyState !== WebSocket.OPEN) return;
    unpingedMs = 0;
    ping = randomUUID();
    socket.ping(ping);
  });
  socket.on('pong', (data) => {
    isAnswered ||= data.toString() === ping;
  });
  socket.once('close', () => clearInterval(timer));
}

/** Returns a function that says whether more than 1 MiB has come over `tcp` within 5 s. */
export function floodDetector(tcp: Socket): (now: number) => boolean {
  let since: number | undefined;
  let bytes = tcp.bytesRead;
  return (now) => {
    since ??= now;
    if (now - since >= FLOOD_MS) {
      since = now;
      bytes = tcp.bytesRead;
    }
    return tcp.bytesRead - bytes > FLOOD_BYTES;
  };
}

/** Whether the peer has stopped reading: more than 1 MiB is unsent. */
export function isStalled(socket: WebSocket): boolean {
  return socket.bufferedAmount > STALLED_BYTES;
}

/** How a WebSocket closed: 1005 for no code, 1006 for no close frame. */
export interface Close {
  code: number;
  reason: string;
}

/** Resolves when `socket` has closed, with the reason that `clean` returns. */
export function untilClosed(socket: WebSocket, clean = loggable): Promise<Close> {
  return new Promise((resolve) => {
    socket.once('close', (code, reason) => resolve({ code, reason: clean(reason.toString()) }));
  });
}
