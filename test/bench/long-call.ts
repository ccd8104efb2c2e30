import { setTimeout as pause } from 'node:timers/promises';
import { OPEN_MS, until } from './load.ts';
import type { Server } from './server.ts';
import { TwilioEnd } from './twilio-end.ts';
import { DELTA_MS, FRAME_MS } from './wire.ts';

/** How many frames are on their way at most: the next batch goes when the last one has arrived. */
const BATCH = 20;
/** Assistant audio half of the time. */
const FRAMES_A_DELTA = (2 * DELTA_MS) / FRAME_MS;
const FRAMES_A_MINUTE = 60_000 / FRAME_MS;
const ARRIVE_MS = 5_000;

/**
 * One minute of a call: CPU time in µs a frame, and what the process holds at its end, in kB.
 *
 * The latter counts garbage too, unless it was collected.
 */
export interface Minute {
  cpuPerFrameUs: number;
  rssKb: number;
  heapKb: number;
}

/**
 * A call of `minutes` in simulated time: its timestamps go on by 20 ms a frame, as fast as frames arrive.
 *
 * Answers each of its minutes. To `collect` garbage after each slows down the next.
 */
export async function longCall(server: Server, minutes: number, collect: boolean): Promise<Minute[]> {
  const { up, down } = server;
  server.reset();
  const end = new TwilioEnd(server, 0);
  await until(() => end.isStarted, ARRIVE_MS, `a call through ${server.name}`);
  await until(() => isReady(server), ARRIVE_MS, `a session for ${server.name}`);
  await pause(OPEN_MS);
  const measured: Minute[] = [];
  for (let minute = 1; minute <= minutes; minute += 1) {
    const before = await server.read();
    const framesBefore = up.received + down.received;
    for (let sent = 0; sent < FRAMES_A_MINUTE; sent += BATCH) {
      for (let n = 0; n < BATCH; n += 1) end.sendFrame();
      await up.allReceived();
      if (up.sent % FRAMES_A_DELTA !== 0) continue;
      const [session] = server.openai.sessions;
      session?.say();
      await down.allReceived();
    }
    const { cpuUs } = await server.read();
    const frames = up.received + down.received - framesBefore;
    const { rss, heap } = await server.read(collect ? 'gc' : 'now');
    measured.push({
      cpuPerFrameUs: (cpuUs - before.cpuUs) / frames,
      rssKb: rss / 1_024,
      heapKb: heap / 1_024,
    });
  }
  end.close();
  await end.closed;
  await until(() => server.openai.sessions.size === 0, ARRIVE_MS, `${server.name} hung up`);
  return measured;
}

function isReady({ openai, readsMessages }: Server): boolean {
  return [...openai.sessions].some(({ isConfigured }) => isConfigured || !readsMessages);
}
