import { setTimeout as pause } from 'node:timers/promises';
import { FRAME_MS, newCallSid, Phone } from './peers.ts';
import { type Program, startServer } from './server.ts';

/** OpenAI as it is in the field, in ms, and what it takes in all until a session is ready. */
const DELAYS = { accept: 1_000, acknowledge: 70, reply: 500 };
const READY_MS = DELAYS.accept + DELAYS.acknowledge;

/** How calls come: `startMs` lie between the webhook's answer and `start`. */
export const CASES = [
  { name: 'with a standby session', standbySessions: 1, startMs: 0 },
  { name: 'without one', standbySessions: 0, startMs: 0 },
  { name: 'with one, 565 ms after the webhook', standbySessions: 1, startMs: 565 },
  { name: 'without one, 565 ms after the webhook', standbySessions: 0, startMs: 565 },
];
type Case = (typeof CASES)[number];

/** Makes `count` calls, one after another; returns the ms from `start` to the first `media` of each. */
export async function firstSounds(relay: Program, how: Case, count: number): Promise<number[]> {
  const server = await startServer(relay, how.standbySessions, DELAYS);
  const sounds: number[] = [];
  while (sounds.length < count) {
    await pause(READY_MS + 200);
    const callSid = newCallSid();
    const body = new URLSearchParams({ CallSid: callSid, From: '+15550100' });
    await fetch(`http://${server.host}/incoming-call`, { method: 'POST', body });
    await pause(how.startMs);
    const phone = new Phone(server, callSid);
    const talking = setInterval(() => phone.startedAt > 0 && phone.sendFrame(), FRAME_MS);
    while (phone.soundAt === 0) await pause(5);
    clearInterval(talking);
    sounds.push(phone.soundAt - phone.startedAt);
  }
  await server.stop();
  return sounds;
}
