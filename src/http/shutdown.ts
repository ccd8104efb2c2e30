import type { Server } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import type { Calls } from '../call/calls.ts';
import type { Streams } from '../call/streams.ts';

/** How long a server that has nothing more to do goes on answering, for a balancer to see that it stops, in ms. */
const NOTICE_MS = 1_000;
/** How long who has just connected may take to be answered, in ms. */
const LAST_MS = 2_000;
/** How long what is done about the last calls, `ended` above all, may take, in ms. */
const FINISH_MS = 5_000;
/** How often is looked whether all is over, in ms. */
const POLL_MS = 50;

/**
 * Has new calls asked again elsewhere, gives those that were answered `graceMs` to end, and has the assistant take leave of
 * those that didn't; without `graceMs` they are ended at once. Resolves when nobody can connect any more, all streams are
 * closed and logged, and their callers have been told.
 */
export async function shutDown(
  server: Server,
  calls: Calls,
  streams: Streams,
  graceMs: number | undefined,
): Promise<void> {
  const deadline = performance.now() + (graceMs ?? 0);
  calls.close();

  async function endCalls(): Promise<void> {
    while (calls.live + streams.waiting > 0 && performance.now() < deadline) await pause(POLL_MS);
    // Until then, those that are open are to be logged, or have only just come.
    while (streams.open > 0) {
      const isLate = performance.now() >= deadline && !streams.isShut;
      if (isLate) streams.shutDown(graceMs === undefined ? 'at once' : 'with a word');
      await pause(POLL_MS);
    }
    await calls.untilFinished(FINISH_MS);
    while (calls.isAwaitingTwilio) await pause(POLL_MS);
  }

  await pause(Math.min(NOTICE_MS, graceMs ?? 0));
  await endCalls();
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  await Promise.race([closed, pause(LAST_MS, undefined, { ref: false })]);
  // A call may have come by the last connection.
  await endCalls();
}
