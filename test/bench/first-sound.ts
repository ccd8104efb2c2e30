import { setTimeout as pause } from 'node:timers/promises';
import { until } from './load.ts';
import type { Delays } from './openai-end.ts';
import { newPeers, RELAY, Server } from './server.ts';
import { TwilioEnd } from './twilio-end.ts';
import { FRAME_MS } from './wire.ts';

/** OpenAI as it is in the field, in ms. */
export const DELAYS = { accept: 1_000, acknowledge: 70, reply: 500 } satisfies Delays;
const STANDBY_MS = 3_000;
const SOUND_MS = 10_000;

/** Ms from `start` to the first `media` at the caller, of each call; and whether a session waited for the first. */
export interface FirstSound {
  standbySessions: number;
  hadStandby: boolean;
  ms: number[];
}

/** Makes `count` calls, one after another, to a relay that keeps `standbySessions` ahead. */
export async function firstSound(standbySessions: number, count: number): Promise<FirstSound> {
  const env = { STANDBY_SESSIONS: String(standbySessions) };
  const server = await Server.start(RELAY, { ...newPeers(), delays: DELAYS }, env);
  try {
    const ms: number[] = [];
    let hadStandby = standbySessions > 0;
    for (let n = 0; n < count; n += 1) {
      if (hadStandby) hadStandby = await standbyReady(server, standbySessions);
      ms.push(await firstSoundOf(new TwilioEnd(server, n)));
    }
    return { standbySessions, hadStandby, ms };
  } finally {
    await server.stop();
  }
}

function standbyReady({ openai }: Server, count: number): Promise<boolean> {
  return until(() => openai.waiting === count, STANDBY_MS, 'a session on standby').then(
    () => true,
    () => false,
  );
}

async function firstSoundOf(end: TwilioEnd): Promise<number> {
  const pacer = setInterval(() => end.sendFrame(), FRAME_MS);
  try {
    const sound = await Promise.race([end.firstSound, pause(SOUND_MS, undefined, { ref: false })]);
    if (sound === undefined) throw new Error(`no sound within ${SOUND_MS} ms`);
    return sound - end.startedAt;
  } finally {
    clearInterval(pacer);
    end.close();
    await end.closed;
  }
}
