import type { Server } from 'node:http';
import type { Calls } from '../call/calls.ts';
import { after, isDoneWithin } from '../timers.ts';

// A shutdown takes the grace and 20 s at most, in these parts, in ms:

/** Time for a balancer to see that the process stops. It is part of the grace, if there is one. */
const NOTICE_MS = 1_000;
/** Time for requests that have just come. */
const REQUESTS_MS = 1_000;
/** Time for the last words (10 s), the caller's in writing (2 s), both closes (0.8 s), `ended` (5 s), and those requests. */
const AFTER_GRACE_MS = 19_000;

/**
 * Refuses new calls, waits up to `graceMs` for live ones, then has the assistant say goodbye; without `graceMs`, ends them at
 * once. Resolves when no call is left and nobody can connect any more.
 */
export async function shutDown(server: Server, calls: Calls, graceMs: number | undefined): Promise<void> {
  const graceEnds = performance.now() + (graceMs ?? 0);
  const untilFinished = (by: number) => calls.untilFinished(Math.max(0, by - performance.now()));
  calls.close();

  async function endCalls(): Promise<void> {
    if (await untilFinished(graceEnds)) return;
    void calls.end(graceMs === undefined ? 'at once' : 'with a word');
    await untilFinished(graceEnds + AFTER_GRACE_MS - REQUESTS_MS);
  }

  await new Promise<void>((resolve) => after(Math.min(NOTICE_MS, graceMs ?? 0), resolve));
  await endCalls();
  await isDoneWithin(new Promise((resolve) => server.close(resolve)), REQUESTS_MS);
  // The last connection may have begun a call.
  await endCalls();
}
