import { Calls, type Run } from './load.ts';
import type { Reading, Server } from './server.ts';

/** Enough for what the process itself holds, its optimized code above all, to be there before the calls are. */
const FIRST_CALL_FRAMES = 15_000;

/** What a fresh `server` holds once it has had a first, long call, its young garbage collected. */
export async function afterFirstCall(server: Server): Promise<Reading> {
  const first = await Calls.dial(server, 1);
  await first.hurry(FIRST_CALL_FRAMES);
  await first.close();
  return server.read('scavenge');
}

/** Resident memory of one process in kB a call. */
export interface Memory {
  server: string;
  rssKb: number;
}

/** What a process holds more at the end of a run than `before`, for each of its calls; its young generation has grown, too. */
export function memoryOf({ server, calls, held }: Run, before: Reading): Memory {
  return { server, rssKb: (held.rss - before.rss) / calls / 1_024 };
}
