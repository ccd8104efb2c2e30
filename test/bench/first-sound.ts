import { setTimeout as pause } from 'node:timers/promises';
import { FRAME_MS, newCallSid, Phone } from './peers.ts';
import { type Program, type Server, startServer } from './server.ts';

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
export function firstSounds(relay: Program, how: Case, count: number): Promise<number[]> {
  return withCalls(relay, how, count, async (phone) => phone.soundAt - phone.startedAt);
}

/** Makes `count` calls, whose sessions are lost; returns the ms from there to the first `media` of the next session of each. */
export function takeovers(relay: Program, how: Case, count: number): Promise<number[]> {
  return withCalls(relay, how, count, async (phone, server) => {
    await pause(READY_MS + 200);
    phone.soundAt = 0;
    const lostAt = performance.now();
    [...server.sessions].find((session) => session.hasSpoken)?.lose();
    await untilHeard(phone);
    return phone.soundAt - lostAt;
  });
}

/** Makes `count` calls, one after another, and returns what `measure` does of each that has heard the assistant. */
async function withCalls(
  relay: Program,
  how: Case,
  count: number,
  measure: (phone: Phone, server: Server) => Promise<number>,
): Promise<number[]> {
  const server = await startServer(relay, { standbySessions: how.standbySessions, delays: DELAYS });
  const measured: number[] = [];
  while (measured.length < count) {
    await pause(READY_MS + 200);
    const callSid = newCallSid();
    const body = new URLSearchParams({ CallSid: callSid, From: '+15550100' });
    await fetch(`http://${server.host}/incoming-call`, { method: 'POST', body });
    await pause(how.startMs);
    const phone = new Phone(server, callSid);
    const talking = setInterval(() => phone.startedAt > 0 && phone.sendFrame(), FRAME_MS);
    await untilHeard(phone);
    measured.push(await measure(phone, server));
    clearInterval(talking);
    phone.hangUp();
    server.sessions.clear();
  }
  await server.stop();
  return measured;
}

async function untilHeard(phone: Phone): Promise<void> {
  while (phone.soundAt === 0) await pause(5);
}
