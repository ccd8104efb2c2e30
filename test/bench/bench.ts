// npm run bench: what the relay costs beside two yardsticks, and with `-- --relay OTHER/src/main.ts` beside another relay.
//
// The script's flags give this process, the peers, a large young generation: with V8's own choice it stands still for
// its garbage in some 2 % of the time, and every server's p99 is then mostly that.
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CASES, firstSounds } from './first-sound.ts';
import { Calls, TURN_MS, type Turn } from './load.ts';
import { type Program, relayAt, type Server, startServer, yardstick } from './server.ts';

/** It takes less than 2 minutes on a machine of its own; this long only if something hangs. */
const LONGEST_MS = 300_000;
/** How often all programs are started: two processes of one program differ by some percent all their lives. */
const ROUNDS = 4;
const TURNS = 6;
const CALLS = 200;
/** Enough, in ms of a call, for what a process itself holds, optimized code above all, to be there before calls are. */
const FIRST_CALL_MS = 300_000;
/** Enough, in ms of all calls, for the young generation to have grown. */
const HURRY_MS = 4_000;
/** With fewer calls, the pages that a process happens to hold or not show more than the calls do. */
const CALLS_FOR_MEMORY = 1_000;
const FIRST_SOUNDS = 5;

/** A program, and what it showed: in every turn, and in kB of memory a call in every round. */
interface Measured {
  program: Program;
  turns: Turn[];
  memory: number[];
}

const { values: options } = parseArgs({ options: { relay: { type: 'string' } } });
const relay = relayAt('relay', fileURLToPath(new URL('../../src/main.ts', import.meta.url)));
const programs = [relay, yardstick('bare-pipe'), yardstick('plain-relay')];
if (options.relay !== undefined) programs.push(relayAt('other relay', options.relay));
const all = programs.map((program): Measured => ({ program, turns: [], memory: [] }));

/** Starts a program and has it talk until it is warm; returns it with its calls, and what it held before, in bytes. */
async function warmUp(program: Program): Promise<{ server: Server; calls: Calls; held: number }> {
  const server = await startServer(program);
  const first = await Calls.make(server, 1);
  await first.hurry(FIRST_CALL_MS);
  const held = await server.rss();
  const calls = await Calls.make(server, CALLS);
  await calls.hurry(HURRY_MS);
  return { server, calls, held };
}

/** All programs are up at once, and take turns so short that whatever slows down the machine meets all of them. */
async function measureRound(): Promise<void> {
  const busy = [];
  for (const measured of all) busy.push({ measured, ...(await warmUp(measured.program)) });
  for (let turn = 0; turn < TURNS; turn += 1) {
    for (const { measured, calls } of busy) measured.turns.push(await calls.takeTurn());
  }
  for (const { measured, server, held } of busy) {
    const more = await Calls.make(server, CALLS_FOR_MEMORY - CALLS);
    await more.hurry(TURN_MS);
    measured.memory.push(((await server.rss()) - held) / CALLS_FOR_MEMORY / 1_024);
    await server.stop();
  }
}

function sort(values: number[]): number[] {
  return values.toSorted((a, b) => a - b);
}

function median(values: number[]): number {
  const sorted = sort(values);
  const [lower, upper] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.floor(sorted.length / 2)]];
  return ((lower ?? Number.NaN) + (upper ?? Number.NaN)) / 2;
}

function p99(values: number[]): number {
  return sort(values)[Math.floor(values.length * 0.99)] ?? Number.NaN;
}

/** A Markdown table whose columns also line up in a terminal; the first is text, the others are figures. */
function table(head: string[], rows: string[][]): string {
  const line = (cells: string[], padding = ' ') =>
    head.map((_, n) => {
      const width = Math.max(...[head, ...rows].map((row) => row[n]?.length ?? 0));
      return n === 0 ? cells[n]?.padEnd(width, padding) : cells[n]?.padStart(width, padding);
    });
  const rule = line(['-', ...head.slice(1).fill('-:')], '-');
  return [line(head), rule, ...rows.map((row) => line(row))]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');
}

/** A row with the medians of a figure, and with those of the relay's ratios to each other program, turn by turn. */
function row(name: string, digits: number, figure: (measured: Measured) => number[]): string[] {
  const [ours = [], ...theirs] = all.map(figure);
  const ratios = theirs.map((each) => each.map((value, n) => (ours[n] ?? Number.NaN) / value));
  const medians = [ours, ...theirs].map((each) => median(each).toFixed(digits));
  return [name, ...medians, ...ratios.map((each) => median(each).toFixed(2))];
}

function costs(): string {
  const names = programs.map(({ name }) => name);
  const turnRow = (name: string, digits: number, figure: (turn: Turn) => number) =>
    row(name, digits, ({ turns }) => turns.map(figure));
  return table(
    [`${CALLS} calls`, ...names, ...names.slice(1).map((name) => `relay / ${name}`)],
    [
      turnRow('CPU a frame, µs', 1, ({ cpuUs }) => cpuUs),
      turnRow('added latency up, median, ms', 2, ({ up }) => median(up)),
      turnRow('added latency up, p99, ms', 2, ({ up }) => p99(up)),
      turnRow('added latency down, median, ms', 2, ({ down }) => median(down)),
      turnRow('added latency down, p99, ms', 2, ({ down }) => p99(down)),
      row(`memory a call, of ${CALLS_FOR_MEMORY}, kB`, 0, ({ memory }) => memory),
    ],
  );
}

/** The cases side by side: they hardly keep the machine busy. */
async function firstSound(): Promise<string> {
  const rows = CASES.map(async (each) => {
    const sounds = await firstSounds(relay, each, FIRST_SOUNDS);
    return [each.name, ...[median(sounds), Math.max(...sounds), each.openaiMs].map((ms) => ms.toFixed(0))];
  });
  return table(['start to first sound, ms', 'median', 'worst', 'OpenAI alone'], await Promise.all(rows));
}

const setting = `${cpus()[0]?.model.trim()} × ${cpus().length}, Node ${process.version}.
A frame is one media message up (20 ms) or one delta down (400 ms); every call sends 50 frames up a second and gets 5
deltas every 4 s. CPU is the process's own, all its threads; latency is from one peer's send to the other's receipt;
memory is what a process holds more than with its first call, without young garbage. Medians of ${ROUNDS * TURNS} turns of ${TURN_MS} ms,
of ${ROUNDS} processes each; a ratio is the median of the turns' own.`;

setTimeout(() => {
  console.error(`The bench hung: it should have been over in ${LONGEST_MS / 1_000} s.`);
  process.exit(1);
}, LONGEST_MS).unref();

for (let round = 1; round <= ROUNDS; round += 1) {
  console.error(`round ${round} of ${ROUNDS}`);
  await measureRound();
}
console.error('first sound\n');
const sounds = await firstSound();
console.log([setting, costs(), sounds].join('\n\n'));
process.exit();
