import { setTimeout as pause } from 'node:timers/promises';
import { Calls } from './load.ts';
import { type Program, type Reading, Server } from './server.ts';
import type { Transit } from './transit.ts';

/** Memory of one fresh process in kB a call: resident, and its heap with buffers; both after a collection. */
export interface Memory {
  server: string;
  rssKb: number;
  heapKb: number;
}

/** The time between two frames of a call: slower than on the phone, since several servers talk at once. */
const EVERY_MS = 80;

/** What `count` calls add to a fresh process of each program that has had a first call, after `talkMs`. */
export function measureMemory(
  programs: Program[],
  count: number,
  talkMs: number,
  up: Transit,
  down: Transit,
): Promise<Memory[]> {
  return Promise.all(
    programs.map(async (program) => {
      const server = await Server.start(program, { up, down });
      try {
        await talk(server, 1, talkMs / 4, up, down);
        const idle = await server.read('gc');
        const busy = await talk(server, count, talkMs, up, down);
        const perCall = (bytes: number) => bytes / count / 1_024;
        return {
          server: program.name,
          rssKb: perCall(busy.rss - idle.rss),
          heapKb: perCall(busy.heap - idle.heap),
        };
      } finally {
        await server.stop();
      }
    }),
  );
}

/** Has `calls` calls talk for `ms` at an easy pace; answers what the server holds at the end of that. */
export async function talk(
  server: Server,
  calls: number,
  ms: number,
  up: Transit,
  down: Transit,
): Promise<Reading> {
  const dialled = await Calls.dial(server, calls, up, down, EVERY_MS);
  await pause(ms);
  const reading = await server.read('gc');
  await dialled.close();
  return reading;
}
