import { setTimeout as pause } from 'node:timers/promises';
import type { Calls } from './calls.ts';
import type { Streams } from './streams.ts';

/** How long what is done about the last calls, `ended` above all, may take, in ms. */
const FINISH_MS = 5_000;
/** How often is looked whether Twilio has asked, in ms. */
const POLL_MS = 50;

/**
 * Takes no more calls, gives the live ones `graceMs` to end, then ends those that didn't. Resolves when all streams are
 * closed and logged, and their callers have been told.
 */
export async function shutDown(calls: Calls, streams: Streams, graceMs: number): Promise<void> {
  const ended = calls.close();
  streams.endWaiting();
  await Promise.race([ended, pause(graceMs, undefined, { ref: false })]);
  await streams.shutDown();
  await calls.untilFinished(FINISH_MS);
  while (calls.isAwaitingTwilio) await pause(POLL_MS);
}
