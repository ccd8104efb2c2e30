import { setTimeout as pause } from 'node:timers/promises';
import { type CallerEvent, placeCall } from '../simulator/caller.ts';
import { startParrot } from '../simulator/parrot.ts';
import { startBalancer } from './balancer.ts';
import { runServer, type ServerProcess } from './process.ts';

const AUTH_TOKEN = 'a-secret';
/** How long callers listen, in ms: some for longer than an idle server takes to stop. */
const LISTENING_MS = [400, 400, 400, 1_500];

/** What the calls come through. */
interface Front {
  origin: string;
  close(): void | Promise<void>;
}

/** How the calls went that were placed while each of three servers was restarted in turn, and what the servers logged. */
export interface Rolling {
  calls: number;
  /** Those that were rejected, whose stream could not begin, whose assistant was not heard, or that the server ended. */
  lost: string[];
  exitCodes: (number | null)[];
  log: Record<string, unknown>[];
}

/**
 * Three servers in processes of their own behind `startFront`, by default a balancer that takes them in turn, each of which is stopped and started
 * anew under a stream of calls: so many at a time, and at least so many in all, until the last one is back.
 */
export async function rollingRestarts(
  callers: number,
  leastCalls: number,
  changes: Record<string, string> = {},
  startFront: (ports: number[]) => Promise<Front> = startBalancer,
): Promise<Rolling> {
  const parrot = await startParrot({
    greeting: new Uint8Array(8 * 400).fill(0x55),
    updateMs: 5,
    thinkMs: 20,
  });
  const env = {
    OPENAI_REALTIME_URL: parrot.url,
    TWILIO_AUTH_TOKEN: AUTH_TOKEN,
    SHUTDOWN_GRACE_SECONDS: '4',
    ...changes,
  };
  const log: Record<string, unknown>[] = [];
  const exitCodes: (number | null)[] = [];
  const servers: ServerProcess[] = [runServer(env), runServer(env), runServer(env)];
  const ports = await Promise.all(servers.map(async ({ listening }) => new URL(await listening).port));
  const balancer = await startFront(ports.map(Number));
  let calls = 0;
  let isOver = false;
  const lost: string[] = [];

  async function callAgainAndAgain(_: unknown, n: number): Promise<void> {
    const listeningMs = LISTENING_MS[n % LISTENING_MS.length] ?? 0;
    while (!isOver || calls < leastCalls) {
      calls += 1;
      const fault = await call(balancer.origin, listeningMs);
      if (fault !== undefined) lost.push(fault);
    }
  }

  const calling = Array.from({ length: callers }, callAgainAndAgain);
  for (const [n, port] of ports.entries()) {
    const old = servers[n];
    old?.child.kill('SIGTERM');
    exitCodes.push((await old?.exited) ?? null);
    log.push(...(old?.lines ?? []));
    const fresh = runServer({ ...env, PORT: port });
    servers[n] = fresh;
    await fresh.listening;
  }
  isOver = true;
  await Promise.all(calling);
  for (const { child, exited, lines } of servers) {
    child.kill('SIGKILL');
    await exited;
    log.push(...lines);
  }
  await balancer.close();
  await parrot.close();
  return { calls, lost, exitCodes, log };
}

/** Places a call, hears the assistant for a while and hangs up; returns what went wrong. */
async function call(url: string, listeningMs: number): Promise<string | undefined> {
  const events: CallerEvent[] = [];
  const phone = await placeCall({ url, authToken: AUTH_TOKEN, onEvent: (event) => events.push(event) });
  await Promise.race([phone.untilPlaying(), pause(5_000)]);
  await pause(listeningMs);
  const { by, code, reason } = await phone.hangUp();
  if (by !== 'caller') return `${by} ${code} ${reason}`;
  return events.some(({ type }) => type === 'first-sound') ? undefined : 'not a sound';
}
