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
const ROUNDS = 5;
const TURNS = 5;
const CALLS = 200;
/** Enough, in ms of a call, for what a process itself holds, optimized code above all, to be there before calls are. */
const FIRST_CALL_MS = 300_000;
/** Enough, in ms of all calls, for each to have had a reply, and for the young generation to have grown. */
const HURRY_MS = 4_000;
const FIRST_SOUNDS = 5;

/** A program, and what it showed in every turn; in every round, how much memory it took for a call, in kB. */
interface Measured {
  program: Program;
  turns: Turn[];
  memory: number[];
}

const { values: options } = parseArgs({ options: { relay: { type: 'string' } } });
const relay = relayAt('relay', fileURLToPath(new URL('../../src/main.ts', import.meta.url)));
const programs = [
  relay,
  yardstick('bare-pipe'),
  yardstick('plain-relay'),
  ...(options.relay === undefined ? [] : [relayAt('other relay', options.relay)]),
];
const all = programs.map((program): Measured => ({ program, turns: [], memory: [] }));

/** The value below which `share` of `values` lie. */
function quantile(values: number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN;
}

function median(values: number[]): number {
  return quantile(values, 0.5);
}

/** A program with all calls open, and what it held before them, in bytes. */
interface Busy {
  measured: Measured;
  server: Server;
  heldBefore: number;
  calls: Calls;
}

async function makeBusy(measured: Measured): Promise<Busy> {
  const server = await startServer(measured.program);
  const first = await Calls.make(server, 1);
  await first.hurry(FIRST_CALL_MS);
  await first.hangUp();
  const { rss } = await server.read('scavenge');
  const calls = await Calls.make(server, CALLS);
  await calls.hurry(HURRY_MS);
  return { measured, server, heldBefore: rss, calls };
}

/** All programs are up at once, and take turns so short that whatever slows down the machine meets all of them. */
async function measureRound(round: number): Promise<void> {
  const first = round % all.length;
  const busy: Busy[] = [];
  for (const measured of [...all.slice(first), ...all.slice(0, first)]) busy.push(await makeBusy(measured));
  for (let turn = 0; turn < TURNS; turn += 1) {
    for (const { measured, calls } of busy) measured.turns.push(await calls.takeTurn());
  }
  for (const { measured, server, heldBefore } of busy) {
    const { rss } = await server.read('scavenge');
    measured.memory.push((rss - heldBefore) / CALLS / 1_024);
    await server.stop();
  }
}

/** A row with the medians of a figure, and with those of the relay's ratios to each other program, turn by turn. */
function row(name: string, digits: number, figure: (measured: Measured) => number[]): string[] {
  const [ours = [], ...theirs] = all.map(figure);
  const ratios = theirs.map((each) => median(each.map((value, n) => (ours[n] ?? Number.NaN) / value)));
  return [
    name,
    ...[ours, ...theirs].map((each) => median(each).toFixed(digits)),
    ...ratios.map((ratio) => ratio.toFixed(2)),
  ];
}

function turnRow(name: string, digits: number, figure: (turn: Turn) => number): string[] {
  return row(name, digits, ({ turns }) => turns.map(figure));
}

/** A Markdown table whose columns also line up in a terminal; the first is text, the others are figures. */
function table(head: string[], rows: string[][]): string {
  const widths = head.map((_, column) =>
    Math.max(...[head, ...rows].map((cells) => cells[column]?.length ?? 0)),
  );
  const line = (cells: string[], padding?: string) =>
    widths.map((width, n) =>
      n === 0 ? cells[n]?.padEnd(width, padding) : cells[n]?.padStart(width, padding),
    );
  const rule = line(
    head.map((_, n) => (n === 0 ? '-' : '-:')),
    '-',
  );
  return [line(head), rule, ...rows.map((cells) => line(cells))]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');
}

function costs(): string {
  const names = all.map(({ program }) => program.name);
  return table(
    [`${CALLS} calls`, ...names, ...names.slice(1).map((name) => `relay / ${name}`)],
    [
      turnRow('CPU a frame, µs', 1, ({ cpuUs }) => cpuUs),
      turnRow('latency up, median, ms', 2, ({ up }) => median(up)),
      turnRow('latency up, p99, ms', 2, ({ up }) => quantile(up, 0.99)),
      turnRow('latency down, median, ms', 2, ({ down }) => median(down)),
      turnRow('latency down, p99, ms', 2, ({ down }) => quantile(down, 0.99)),
      row('resident memory a call, kB', 0, ({ memory }) => memory),
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
memory is what a process with ${CALLS} calls holds more than after its first, without young garbage. Medians of ${ROUNDS * TURNS} turns of
${TURN_MS} ms, of ${ROUNDS} processes each; a ratio is the median of the turns' own.`;

setTimeout(() => {
  console.error(`The bench hung: it should have been over in ${LONGEST_MS / 1_000} s.`);
  process.exit(1);
}, LONGEST_MS).unref();

for (let round = 0; round < ROUNDS; round += 1) {
  console.error(`round ${round + 1} of ${ROUNDS}`);
  await measureRound(round);
}
console.error('first sound\n');
const sounds = await firstSound();
console.log([setting, costs(), sounds].join('\n\n'));
process.exit();
