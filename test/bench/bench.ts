// npm run bench: what the relay costs beside its yardsticks, and how soon a caller hears something.
//
// The script's flags give this process, the peers, a large young generation: with V8's own choice it stands still for
// its garbage in some 2 % of the time, and every server's p99 is then mostly that.
import { writeFileSync } from 'node:fs';
import { firstSound } from './first-sound.ts';
import { type Load, type Run, run } from './load.ts';
import { longCall } from './long-call.ts';
import { afterFirstCall, type Memory, memoryOf } from './memory.ts';
import { setting } from './report.ts';
import {
  BARE_PIPE,
  BARE_PIPE_WITH_FLAGS,
  compile,
  FOLDER,
  PLAIN_RELAY,
  type Program,
  RELAY,
  RELAY_UNDER_TSX,
  Server,
} from './server.ts';
import { watchSteal } from './steal.ts';
import { type Results, report } from './tables.ts';
import { Transit } from './transit.ts';

/** It takes less than 3 minutes on a machine of its own; this long only if something hangs. */
const LONGEST_MS = 300_000;
const PROGRAMS = [RELAY, BARE_PIPE, PLAIN_RELAY, RELAY_UNDER_TSX, BARE_PIPE_WITH_FLAGS];
/** Those on which it is seen how cost grows. */
const GROWING = [RELAY, BARE_PIPE];

/** Enough for all code to be optimized, with that for the few deltas, and for the young generation to have grown. */
const HURRIED_FRAMES = 20_000;

const isQuick = process.argv.includes('--quick');
const rounds = isQuick ? 2 : 5;
const minutes = isQuick ? 3 : 10;
const load: Load = {
  calls: 200,
  hurriedFrames: HURRIED_FRAMES,
  warmUpMs: 300,
  measuredMs: isQuick ? 1_000 : 2_500,
};
const growthLoads: Load[] = [400, 50].map((calls) => ({
  calls,
  hurriedFrames: HURRIED_FRAMES / 5,
  warmUpMs: 200,
  measuredMs: 500,
}));

const began = performance.now();
const [up, down] = [new Transit(), new Transit()];

function tell(line: string): void {
  console.error(`${((performance.now() - began) / 1_000).toFixed(1).padStart(6)} s  ${line}`);
}

interface Round {
  runs: Run[];
  growth: Run[];
  memory: Memory[];
}

/**
 * Measures every program, one after another; each round begins with the next one.
 *
 * A process is measured alone, and is another in each round: two of one program differ by some percent all their lives.
 */
async function measureRound(number: number): Promise<Round> {
  const round: Round = { runs: [], growth: [], memory: [] };
  for (let n = 0; n < PROGRAMS.length; n += 1) {
    const program = PROGRAMS[(number + n) % PROGRAMS.length];
    if (program !== undefined) await measure(program, round);
  }
  const figures = round.runs.map(({ server, cpuPerFrameUs }) => `${server} ${cpuPerFrameUs.toFixed(1)}`);
  tell(`round ${number + 1} of ${rounds}, µs of CPU a frame: ${figures.join(', ')}`);
  return round;
}

async function measure(program: Program, { runs, growth, memory }: Round): Promise<void> {
  const server = await Server.start(program, { up, down });
  const before = await afterFirstCall(server);
  const measured = await run(server, load);
  runs.push(measured);
  memory.push(memoryOf(measured, before));
  if (GROWING.includes(program)) {
    for (const each of growthLoads) growth.push(await run(server, each));
  }
  await server.stop();
}

async function bench(): Promise<Results> {
  const stolen = watchSteal();
  compile();
  tell('compiled');
  const measured = [];
  for (let round = 0; round < rounds; round += 1) measured.push(await measureRound(round));

  const relay = await Server.start(RELAY, { up, down });
  await afterFirstCall(relay);
  const longCalls = [];
  for (let call = 0; call < rounds; call += 1) {
    longCalls.push(await longCall(relay, minutes, false));
    tell(`call ${call + 1} of ${rounds}, of ${minutes} simulated minutes`);
  }
  const collected = await longCall(relay, minutes, true);
  await relay.stop();

  tell('first sound');
  const firstSounds = await Promise.all([firstSound(0, rounds), firstSound(1, rounds)]);
  return {
    setting: setting(),
    stolen: stolen(),
    rounds: measured.map(({ runs }) => runs),
    growth: measured.map(({ growth }) => growth),
    memory: measured.map(({ memory }) => memory),
    longCalls,
    collected,
    firstSounds,
  };
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
