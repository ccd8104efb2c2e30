// npm run bench: what the relay costs beside its yardsticks, and how soon a caller hears something.
//
// The script's flags give this process, the peers, a large young generation: with V8's own choice it stands still for
// its garbage in some 2 % of the time, and every server's p99 is then mostly that.
import { writeFileSync } from 'node:fs';
import { firstSound } from './first-sound.ts';
import { type Comparison, compare, type Load, type Warm, warm } from './load.ts';
import { longCall } from './long-call.ts';
import { setting } from './report.ts';
import {
  BARE_PIPE,
  BARE_PIPE_WITH_FLAGS,
  compile,
  FOLDER,
  newPeers,
  PLAIN_RELAY,
  RELAY,
  RELAY_UNDER_TSX,
  Server,
} from './server.ts';
import { watchSteal } from './steal.ts';
import { Figures, type Results, report } from './tables.ts';

/** It takes less than 3 minutes on a machine of its own; this long only if something hangs. */
const LONGEST_MS = 300_000;
const PROGRAMS = [RELAY, BARE_PIPE, PLAIN_RELAY, RELAY_UNDER_TSX, BARE_PIPE_WITH_FLAGS].map((program) => ({
  program,
  peers: newPeers(),
}));
/** Those on which it is seen how cost grows. */
const GROWING = [RELAY.name, BARE_PIPE.name];

/** Enough for all code to be optimized, with that for the few deltas, and for the young generation to have grown. */
const HURRIED_FRAMES = 20_000;

const isQuick = process.argv.includes('--quick');
const rounds = isQuick ? 2 : 5;
const minutes = isQuick ? 3 : 10;
const load: Load = {
  calls: 200,
  hurriedFrames: HURRIED_FRAMES,
  turns: isQuick ? 2 : 5,
};
const growthLoads: Load[] = [400, 50].map((calls) => ({
  calls,
  hurriedFrames: HURRIED_FRAMES / 5,
  turns: 1,
}));

const began = performance.now();

function tell(line: string): void {
  console.error(`${((performance.now() - began) / 1_000).toFixed(1).padStart(6)} s  ${line}`);
}

/** Every program under the main load, and some under others. */
interface Round {
  main: Comparison;
  growth: Comparison[];
}

/** Measures every program, with processes of their own: two of one program differ by some percent all their lives. */
async function measureRound(number: number): Promise<Round> {
  const first = number % PROGRAMS.length;
  const servers: Warm[] = [];
  for (const { program, peers } of [...PROGRAMS.slice(first), ...PROGRAMS.slice(0, first)]) {
    servers.push(await warm(await Server.start(program, peers)));
  }
  const main = await compare(servers, load);
  const growing = servers.filter(({ server }) => GROWING.includes(server.name));
  const growth = [];
  for (const each of growthLoads) growth.push(await compare(growing, each));
  for (const { server } of servers) await server.stop();
  const cpu = new Figures(main.turns, ({ cpuPerFrameUs }) => cpuPerFrameUs);
  const figures = servers.map(({ server: { name } }) => `${name} ${cpu.median(name).toFixed(1)}`);
  tell(`round ${number + 1} of ${rounds}, µs of CPU a frame: ${figures.join(', ')}`);
  return { main, growth };
}

async function bench(): Promise<Results> {
  const stolen = watchSteal();
  compile();
  tell('compiled');
  const measured = [];
  for (let round = 0; round < rounds; round += 1) measured.push(await measureRound(round));

  const relay = await Server.start(RELAY, newPeers());
  await warm(relay);
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
    turns: measured.flatMap(({ main }) => main.turns),
    growth: measured.flatMap(({ growth }) => growth.flatMap(({ turns }) => turns)),
    memory: measured.map(({ main }) => main.memory),
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
