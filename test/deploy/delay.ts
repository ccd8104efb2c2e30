import { setTimeout as pause } from 'node:timers/promises';
import type { FakeOpenAI } from '../support/peers.ts';
import { exchange, type SignedCall, startCall } from './signed-call.ts';

/** How many exchanges are timed on each call, after so many that aren't. */
const EXCHANGES = 500;
const WARM_UP = 50;
const PAUSE_MS = 5;

/** The delay of a frame through `proxied` above that of one through `direct`, in ms; both calls go on at once, in turns. */
export async function addedDelay(direct: string, proxied: string, openai: FakeOpenAI) {
  const calls = [await startCall(direct, openai), await startCall(proxied, openai)] as const;
  const delays: [number[], number[]] = [[], []];
  for (let n = 1; n <= WARM_UP + EXCHANGES; n += 1) {
    // The first after a pause is slower: each is first every other time.
    for (const which of n % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const ms = await frameMs(calls[which], n * 20);
      if (n > WARM_UP) delays[which].push(ms);
    }
    await pause(PAUSE_MS);
  }
  for (const { twilio } of calls) twilio.socket.close(1000);
  const [base, through] = delays.map((all) => all.sort((a, b) => a - b));
  const p = (all: number[] = [], share = 0.5) => all[Math.floor(all.length * share)] ?? Number.NaN;
  return {
    added: p(through) - p(base),
    p99: `${p(through, 0.99).toFixed(1)} ms, direct ${p(base, 0.99).toFixed(1)} ms`,
    frames: EXCHANGES * 2,
  };
}

/** How long a frame takes, on the average of one up and one down. */
async function frameMs(call: SignedCall, timestamp: number): Promise<number> {
  const began = performance.now();
  await exchange(call, timestamp);
  return (performance.now() - began) / 2;
}
