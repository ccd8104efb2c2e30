import { setTimeout as pause } from 'node:timers/promises';
import { Calls } from './load.ts';
import { type Program, startServer } from './server.ts';

/** OpenAI near by, in ms, and the gap that it makes when a session is lost. */
const DELAYS = { accept: 200, acknowledge: 70, reply: 500 };
export const FLOOR_MS = DELAYS.accept + DELAYS.acknowledge + DELAYS.reply;
/** How many calls keep their sessions: their frames show how late all calls' frames are meanwhile. */
const BYSTANDERS = 10;
/** How long the calls talk before the loss, and after it at most, in ms. */
const TALK_MS = 1_500;
const PATIENCE_MS = 15_000;

/** What a loss of many sessions at once showed, in ms: each call's gap (Infinity if it didn't go on), and the slowest frame of those beside them. */
export interface Loss {
  gaps: number[];
  slowestMs: number;
}

/** Makes `count` calls and some more, loses the sessions of `count` at once, and waits until all are heard again. */
export async function loseAll(relay: Program, count: number): Promise<Loss> {
  const server = await startServer(relay, { delays: DELAYS });
  const calls = await Calls.make(server, count + BYSTANDERS);
  await pause(DELAYS.reply);
  calls.talk();
  await pause(TALK_MS);
  const sessions = [...server.sessions];
  for (const session of sessions) {
    session.finish();
    session.slowestMs = 0;
  }
  for (const phone of calls.phones) phone.soundAt = 0;
  const lostAt = performance.now();
  for (const session of sessions.slice(BYSTANDERS)) session.lose();
  // Nobody speaks to the bystanders.
  const heard = () => calls.phones.filter(({ soundAt }) => soundAt > 0);
  while (heard().length < count && performance.now() < lostAt + PATIENCE_MS) await pause(20);
  calls.stop();
  const slowestMs = Math.max(...sessions.slice(0, BYSTANDERS).map((session) => session.slowestMs));
  await server.stop();
  const gaps = heard().map(({ soundAt }) => soundAt - lostAt);
  const unheard = Array.from({ length: count - gaps.length }, () => Infinity);
  return { gaps: [...gaps, ...unheard], slowestMs };
}
