import { setTimeout as pause } from 'node:timers/promises';
import { ASKED_MS, type Calls } from './calls.ts';
import type { Streams } from './streams.ts';

/**
 * Takes no more calls, gives the live ones `graceMs` to end, then ends those that didn't. Resolves when all streams are
 * closed and logged, and their callers have been told.
 */
export async function shutDown(calls: Calls, streams: Streams, graceMs: number): Promise<void> {
  const ended = calls.close();
  streams.shutDownWaiting();
  await Promise.race([ended, pause(graceMs, undefined, { ref: false })]);
  await streams.shutDown();
  if (calls.isAwaitingTwilio) await pause(ASKED_MS);
}
