// npm run bench: what the relay costs beside two yardsticks, and with `-- --relay OTHER/src/main.ts` beside another relay.
// `-- --rounds 1` takes a fifth of the time.
//
// The script's flags give this process, the peers, a large young generation: with V8's own choice it stands still for
// its garbage in some 2 % of the time, and every server's p99 is then mostly that.
import { cpus } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CASES, firstSounds, takeovers } from './first-sound.ts';
import { Calls, TURN_MS, type Turn } from './load.ts';
import { FLOOR_MS, type Loss, loseAll } from './losses.ts';
import {
  type Program,
  relayAt,
  type Server,
  startServer,
  TRANSPORTS,
  type Transport,
  yardstick,
} from './server.ts';

const TURNS = 5;
const CALLS = 200;
/** Enough, in ms of some calls, for what a process itself holds to be there before the calls are. */
const FIRST_CALLS = 10;
const FIRST_CALLS_MS = 30_000;
/** Enough, in ms of all calls, for the young generation to have grown. */
const HURRY_MS = 2_000;
/** With fewer calls, the pages that a process happens to hold or not show more than the calls do. */
const CALLS_FOR_MEMORY = 1_000;
const FIRST_SOUNDS = 3;
/** How many sessions are lost at once: of some calls, and of more than a core can carry. */
const LOST = [100, 300];
const LOSSES = 3;

/** A program by one transport, and what it showed: in every turn, and in kB of memory a call in every round. */
interface Measured {
  program: Program;
  transport: Transport;
  turns: Turn[];
  memory: number[];
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const { values: options } = parseArgs({
  options: { relay: { type: 'string' }, rounds: { type: 'string', default: '5' } },
});
/** How often all programs are started: two processes of one program differ by some percent all their lives. */
const rounds = Number(options.rounds);
const relay = relayAt('relay', ROOT, 'test/support/main.ts');
const programs = [relay, yardstick('bare pipe'), yardstick('plain relay')];
if (options.relay !== undefined)
  programs.push(relayAt('other relay', resolve(options.relay, '../..'), resolve(options.relay)));
const all = TRANSPORTS.flatMap((transport) =>
  programs.map((program): Measured => ({ program, transport, turns: [], memory: [] })),
);

/** Starts a program and has it talk until it is warm; returns it with its calls, and what it held before, in bytes. */
async function warmUp({
  program,
  transport,
}: Measured): Promise<{ server: Server; calls: Calls; held: number }> {
  const server = await startServer(program, { transport });
  const first = await Calls.make(server, FIRST_CALLS);
  await first.hurry(FIRST_CALLS_MS);
  const held = await server.read('rss');
  const calls = await Calls.make(server, CALLS);
  await calls.hurry(HURRY_MS);
  return { server, calls, held };
}

/** All programs are up at once, and take turns so short that whatever slows down the machine meets all of them. */
async function measureRound(): Promise<void> {
  const busy = [];
  for (const measured of all) busy.push({ measured, ...(await warmUp(measured)) });
  for (let turn = 0; turn < TURNS; turn += 1) {
    for (const { measured, calls } of busy) measured.turns.push(await calls.takeTurn());
  }
  for (const { measured, server, held } of busy) {
    const more = await Calls.make(server, CALLS_FOR_MEMORY - CALLS);
    await more.hurry(TURN_MS);
    measured.memory.push(((await server.read('rss')) - held) / CALLS_FOR_MEMORY / 1_024);
    await server.stop();
  }
}

/** The value that `share` of `values` are below. */
const quantile = (values: number[], share: number) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN;
const median = (values: number[]) => quantile(values, 0.5);

/** A Markdown table; the first column is text, the others are figures. */
function table(head: string[], rows: string[][]): string {
  const rule = head.map((_, n) => (n === 0 ? '---' : '---:'));
  return [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** A row with the medians of a figure, and with those of the first one's ratios to each other, turn by turn. */
function row(name: string, digits: number, figures: number[][]): string[] {
  const [ours = [], ...theirs] = figures;
  const ratios = theirs.map((each) => each.map((value, n) => (ours[n] ?? Number.NaN) / value));
  const medians = figures.map((each) => median(each).toFixed(digits));
  return [name, ...medians, ...ratios.map((each) => median(each).toFixed(2))];
}

function costs(transport: Transport): string {
  const shown = all.filter((measured) => measured.transport === transport);
  const names = programs.map(({ name }) => name);
  const turnRow = (name: string, digits: number, figure: (turn: Turn) => number) =>
    row(
      name,
      digits,
      shown.map(({ turns }) => turns.map(figure)),
    );
  return table(
    [`${CALLS} calls, OpenAI by ${transport}`, ...names, ...names.slice(1).map((name) => `relay / ${name}`)],
    [
      turnRow('CPU a frame, µs', 1, ({ cpuUs }) => cpuUs),
      turnRow('added latency up, median, ms', 2, ({ up }) => median(up)),
      turnRow('added latency up, p99, ms', 2, ({ up }) => quantile(up, 0.99)),
      turnRow('added latency down, median, ms', 2, ({ down }) => median(down)),
      turnRow('added latency down, p99, ms', 2, ({ down }) => quantile(down, 0.99)),
      row(
        `memory a call, of ${CALLS_FOR_MEMORY}, kB`,
        0,
        shown.map(({ memory }) => memory),
      ),
    ],
  );
}

/** The relays take turns. */
async function losses(): Promise<string> {
  const relays = programs.filter(({ sendsMarks, name }) => sendsMarks && name !== 'plain relay');
  const rows: string[][] = [];
  for (const count of LOST) {
    const shown: Loss[][] = relays.map(() => []);
    for (let n = 0; n < LOSSES; n += 1) {
      for (const [index, program] of relays.entries()) shown[index]?.push(await loseAll(program, count));
    }
    const rowOf = (name: string, figure: (loss: Loss) => number) =>
      rows.push(
        row(
          `${name}, of ${count}`,
          0,
          shown.map((each) => each.map(figure)),
        ),
      );
    rowOf('gap, median', ({ gaps }) => median(gaps));
    rowOf('gap, worst', ({ gaps }) => Math.max(...gaps));
    rowOf('slowest frame of calls beside them', ({ slowestMs }) => slowestMs);
  }
  const names = relays.map(({ name }) => name);
  const ratios = names.slice(1).map((name) => `relay / ${name}`);
  return table([`all sessions lost at once, ms (OpenAI: ${FLOOR_MS})`, ...names, ...ratios], rows);
}

/** The cases side by side: they hardly keep the machine busy. */
async function firstSound(): Promise<string> {
  const spread = (ms: number[]) => [median(ms), Math.max(...ms)].map((each) => each.toFixed(0));
  const starts = CASES.map(async (each) => [
    `start, ${each.name}`,
    ...spread(await firstSounds(relay, each, FIRST_SOUNDS)),
  ]);
  const losses = CASES.slice(0, 2).map(async (each) => [
    `loss of the session, ${each.name}`,
    ...spread(await takeovers(relay, each, FIRST_SOUNDS)),
  ]);
  const rows = await Promise.all([...starts, ...losses]);
  return table(['to the first sound, ms, from', 'median', 'worst'], rows);
}

const setting = `${cpus()[0]?.model.trim()}, Node ${process.version}; medians of ${rounds * TURNS} turns, and of their ratios.
A call sends a frame every 20 ms, and gets five deltas of 400 ms every 4 s; memory is without young garbage.`;

for (let round = 1; round <= rounds; round += 1) {
  console.error(`round ${round} of ${rounds}`);
  await measureRound();
}
console.error('first sound\n');
console.log([setting, ...TRANSPORTS.map(costs), await firstSound()].join('\n\n'));
console.error('\nlosses\n');
console.log(await losses());
process.exit();
