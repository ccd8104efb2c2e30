import { setTimeout as pause } from 'node:timers/promises';
import { Calls, type Run } from './load.ts';
import type { Reading, Server } from './server.ts';

const FIRST_CALL_MS = 250;

/** What a fresh `server` holds once it has had a first call, its garbage collected. */
export async function afterFirstCall(server: Server): Promise<Reading> {
  const first = await Calls.dial(server, 1);
  await pause(FIRST_CALL_MS);
  await first.close();
  return server.read('gc');
}

/** Memory of one process in kB a call: resident, and its heap with buffers; both after a collection. */
export interface Memory {
  server: string;
  rssKb: number;
  heapKb: number;
}

/** What a process holds more at the end of a run than `before`, for each of its calls; its young generation has grown, too. */
export function memoryOf({ server, calls, held }: Run, before: Reading): Memory {
  const perCall = (bytes: number) => bytes / calls / 1_024;
  return { server, rssKb: perCall(held.rss - before.rss), heapKb: perCall(held.heap - before.heap) };
}
