// npm run bench: what the relay costs beside its yardsticks, and how soon a caller hears something.
import { writeFileSync } from 'node:fs';
import { firstSound } from './first-sound.ts';
import { type Load, type Run, run } from './load.ts';
import { longCall } from './long-call.ts';
import { measureMemory, talk } from './memory.ts';
import { setting } from './report.ts';
import {
  BARE_PIPE,
  compile,
  FOLDER,
  PLAIN_RELAY,
  type Program,
  RELAY,
  RELAY_UNDER_TSX,
  Server,
} from './server.ts';
import { type Results, report } from './tables.ts';
import { Transit } from './transit.ts';

/** It takes less than 3 minutes on a machine of its own; this long only if something hangs. */
const LONGEST_MS = 300_000;
/** How long all servers are warmed up at first, in ms. */
const WARM_UP_MS = 2_000;

const isQuick = process.argv.includes('--quick');
const rounds = isQuick ? 2 : 5;
const minutes = isQuick ? 3 : 10;
const load: Load = { calls: 200, warmUpMs: isQuick ? 500 : 800, measuredMs: isQuick ? 1_000 : 3_000 };
const tsxLoad: Load = { ...load, warmUpMs: 700, measuredMs: isQuick ? 1_000 : 1_500 };
const growthLoads: Load[] = [
  { calls: 50, warmUpMs: 250, measuredMs: isQuick ? 500 : 1_000 },
  { calls: 400, warmUpMs: 250, measuredMs: isQuick ? 500 : 1_000 },
];

const began = performance.now();
const [up, down] = [new Transit(), new Transit()];

function tell(line: string): void {
  console.error(`${((performance.now() - began) / 1_000).toFixed(1).padStart(6)} s  ${line}`);
}

/** Runs each load on each server in turn; every round begins with another server. */
async function alternate(what: string, servers: Server[], loads: Load[]): Promise<Run[][]> {
  const all: Run[][] = [];
  for (let round = 0; round < rounds; round += 1) {
    const turns = servers.map((_, n) => servers[(n + round) % servers.length]);
    const runs: Run[] = [];
    for (const each of loads) {
      for (const server of turns) {
        if (server !== undefined) runs.push(await run(server, loadOf(server, each), up, down));
      }
    }
    all.push(runs);
    const figures = runs.map(
      ({ server, calls, cpuPerFrameUs }) => `${server} (${calls}) ${cpuPerFrameUs.toFixed(1)}`,
    );
    tell(`${what}, round ${round + 1} of ${rounds}, µs of CPU a frame: ${figures.join(', ')}`);
  }
  return all;
}

function loadOf({ name }: Server, each: Load): Load {
  return name === RELAY_UNDER_TSX.name ? tsxLoad : each;
}

async function start(...programs: Program[]): Promise<Server[]> {
  return Promise.all(programs.map((program) => Server.start(program, { up, down })));
}

async function bench(): Promise<Results> {
  compile();
  const servers = await start(RELAY, BARE_PIPE, PLAIN_RELAY, RELAY_UNDER_TSX);
  const [relay, pipe] = servers;
  if (relay === undefined || pipe === undefined) throw new Error('a server is missing');
  tell('compiled and started; warming up');
  await Promise.all(servers.map((server) => talk(server, load.calls, WARM_UP_MS, up, down)));

  const alternating = await alternate('200 calls', servers, [load]);
  const growth = await alternate('growth', [relay, pipe], growthLoads);

  // This one warms up the others, too: one call keeps other code warm than hundreds do.
  const collected = await longCall(relay, minutes, true, up, down);
  const longCalls = [];
  for (let call = 0; call < rounds; call += 1) {
    longCalls.push(await longCall(relay, minutes, false, up, down));
    tell(`call ${call + 1} of ${rounds}, of ${minutes} simulated minutes`);
  }
  await Promise.all(servers.map((server) => server.stop()));

  const memory = [];
  for (let round = 0; round < rounds; round += 1) {
    const measured = await measureMemory([RELAY, BARE_PIPE, PLAIN_RELAY], 200, 1_000, up, down);
    memory.push(measured);
    const figures = measured.map(({ server, rssKb }) => `${server} ${rssKb.toFixed(0)}`);
    tell(`memory, round ${round + 1} of ${rounds}, kB a call: ${figures.join(', ')}`);
  }

  tell('first sound');
  const firstSounds = await Promise.all([firstSound(0, rounds), firstSound(1, rounds)]);
  return { setting: setting(), rounds: alternating, growth, memory, longCalls, collected, firstSounds };
}

setTimeout(() => {
  console.error(`The bench hung: it should have been over in ${LONGEST_MS / 1_000} s.`);
  process.exit(1);
}, LONGEST_MS).unref();
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));

const results = await bench();
const text = report(results);
writeFileSync(`${FOLDER}bench.json`, `${JSON.stringify(results, undefined, 2)}\n`);
writeFileSync(`${FOLDER}bench.md`, `${text}\n`);
tell('done; every run is in .bench/bench.json\n');
console.log(text);
process.exit();
