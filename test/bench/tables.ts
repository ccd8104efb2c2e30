import { DELAYS, type FirstSound } from './first-sound.ts';
import { type Memory, type Run, TURN_MS } from './load.ts';
import type { Minute } from './long-call.ts';
import { median, type setting, table } from './report.ts';
import { BARE_PIPE, BARE_PIPE_WITH_FLAGS, PLAIN_RELAY, RELAY, RELAY_UNDER_TSX } from './server.ts';

/** What the bench measured: a list a turn, and for memory a list a round; `growth` is of the relay and the pipe alone. */
export interface Results {
  setting: ReturnType<typeof setting>;
  /** The share of the machine's time that its host gave to others, if it is known. */
  stolen: number | undefined;
  turns: Run[][];
  growth: Run[][];
  memory: Memory[][];
  /** Calls for their CPU time, and one for its memory. */
  longCalls: Minute[][];
  collected: Minute[];
  firstSounds: FirstSound[];
}

const NAMES = [RELAY, BARE_PIPE, PLAIN_RELAY].map(({ name }) => name);

/** Everything as Markdown, with what was measured and how. */
export function report(results: Results): string {
  const { setting } = results;
  return [
    `${setting.machine}, Node ${setting.node}, ws ${setting.ws}, Fastify ${setting.fastify}, ${setting.date.slice(0, 10)}.`,
    about(results),
    mainTable(results),
    growthTable(results),
    besideTable(results),
    longCallTable(results),
    firstSoundTable(results),
  ].join('\n\n');
}

function about({ setting, stolen, turns, memory }: Results): string {
  const share = median(turns.flat().map(({ peersCpu }) => peersCpu));
  const percent = (part: number, digits: number) => `${(part * 100).toFixed(digits)} %`;
  return `The relay runs as \`npm start\` runs it, with ${setting.flags.join(' ')}; the yardsticks without.
A frame is one media message up (20 ms, 160 B) or one delta down (400 ms, 3200 B). Every call sends 50 frames up a second
and gets 5 deltas every 4 s; a mark comes back for each delta. CPU is the process's own user and system time, all its
threads, over the frames relayed. Latency is from one peer's send to the other peer's receipt, on one clock. Memory is
what a process with 200 calls holds more than after its first, without young garbage. Medians of ${turns.length} turns, in
which each program is put to work for ${TURN_MS} ms, of ${memory.length} processes each; a ratio is the median of the turns' own ratios.
The peers never sleep, and had ${percent(share, 0)} of one core (about 100 on a quiet machine), ${setting.hasCores ? 'which no server shared; the servers had another' : 'but no core to themselves: latencies are then up to the scheduler, too'}.
${stolen === undefined ? '' : `The machine's host gave ${percent(stolen, 1)} of its time to others meanwhile (0 when it is quiet).`}`;
}

function mainTable({ turns, memory }: Results): string {
  const row = (name: string, digits: number, figures: Figures<Run> | Figures<Memory>, goals = '') => [
    name,
    ...NAMES.map((server) => figures.median(server).toFixed(digits)),
    ...figures.ratios(),
    goals,
  ];
  const runs = (figure: (run: Run) => number) => new Figures(turns, figure);
  const calls = turns[0]?.[0]?.calls ?? 0;
  return table(
    [`${calls} calls`, ...NAMES, 'relay / pipe', 'relay / plain', 'goals'],
    [
      row(
        'CPU a frame, µs',
        1,
        runs((run) => run.cpuPerFrameUs),
        '1.05, 0.85',
      ),
      row(
        'latency up, median, ms',
        2,
        runs((run) => run.up.median),
      ),
      row(
        'latency up, p99, ms',
        2,
        runs((run) => run.up.p99),
        '1.10',
      ),
      row(
        'latency down, median, ms',
        2,
        runs((run) => run.down.median),
      ),
      row(
        'latency down, p99, ms',
        2,
        runs((run) => run.down.p99),
        '1.10',
      ),
      row('memory a call, resident, kB', 0, new Figures(memory, ({ rssKb }) => rssKb), '1.10'),
    ],
  );
}

/** One figure of every program in every turn, or round. */
export class Figures<Measured extends { server: string }> {
  readonly #measured: Measured[][];
  readonly #figure: (measured: Measured) => number;

  constructor(measured: Measured[][], figure: (measured: Measured) => number) {
    this.#measured = measured;
    this.#figure = figure;
  }

  median(server: string): number {
    return median(this.#measured.map((turn) => this.#of(turn, server)));
  }

  ratio(server: string, other: string): number {
    return median(this.#measured.map((turn) => this.#of(turn, server) / this.#of(turn, other)));
  }

  /** The relay's ratios to the yardsticks. */
  ratios(): string[] {
    return NAMES.slice(1).map((yardstick) => this.ratio(RELAY.name, yardstick).toFixed(2));
  }

  #of(turn: Measured[], server: string): number {
    const found = turn.find((one) => one.server === server);
    return found === undefined ? Number.NaN : this.#figure(found);
  }
}

function growthTable({ turns, growth }: Results): string {
  const compared = [RELAY.name, BARE_PIPE.name];
  const all = [...growth, ...turns];
  const sizes = [...new Set(all.flat().map(({ calls }) => calls))].sort((a, b) => a - b);
  return table(
    ['CPU a frame, µs', ...compared, 'relay / pipe'],
    sizes.map((calls) => {
      const figures = new Figures(
        all.map((turn) => turn.filter((run) => run.calls === calls)).filter((turn) => turn.length > 0),
        (run) => run.cpuPerFrameUs,
      );
      const each = compared.map((server) => figures.median(server).toFixed(1));
      return [`${calls} calls`, ...each, figures.ratio(RELAY.name, BARE_PIPE.name).toFixed(2)];
    }),
  );
}

/** Other ways to run the same programs. */
function besideTable({ turns }: Results): string {
  const figures = new Figures(turns, (run) => run.cpuPerFrameUs);
  const row = (name: string, other: string) => [
    name,
    figures.median(name).toFixed(1),
    `${figures.ratio(name, other).toFixed(2)} of the ${other}`,
  ];
  return table(
    ['run otherwise', 'CPU a frame, µs', 'ratio'],
    [row(RELAY_UNDER_TSX.name, RELAY.name), row(BARE_PIPE_WITH_FLAGS.name, BARE_PIPE.name)],
  );
}

function longCallTable({ longCalls, collected }: Results): string {
  const minutes = longCalls[0]?.length ?? 0;
  const row = (name: string, digits: number, calls: Minute[][], figure: (minute: Minute) => number) => {
    const pairs = calls.map((call) => [call[0], call.at(-1)].map((minute) => minute && figure(minute)));
    const side = (n: number) => pairs.map((pair) => pair[n] ?? Number.NaN);
    const ratio = median(side(1).map((last, n) => last / (side(0)[n] ?? Number.NaN)));
    return [name, ...[0, 1].map((n) => median(side(n)).toFixed(digits)), ratio.toFixed(3)];
  };
  return table(
    [`a call of ${minutes} simulated minutes`, 'minute 1', `minute ${minutes}`, 'last / first'],
    [
      row('relay: CPU a frame, µs', 1, longCalls, ({ cpuPerFrameUs }) => cpuPerFrameUs),
      row('relay: heap of the process, kB', 0, [collected], ({ heapKb }) => heapKb),
      row('relay: resident, kB', 0, [collected], ({ rssKb }) => rssKb),
    ],
  );
}

function firstSoundTable({ firstSounds }: Results): string {
  const { accept, acknowledge, reply } = DELAYS;
  return table(
    ['start to first sound, ms', 'OpenAI alone', 'median', 'worst', 'over', 'goal'],
    firstSounds.map(({ standbySessions, hadStandby, ms }) => {
      const least = standbySessions > 0 ? reply : accept + acknowledge + reply;
      const name = `STANDBY_SESSIONS=${standbySessions}${standbySessions > 0 && !hadStandby ? ' (none came)' : ''}`;
      const figures = [least, median(ms), Math.max(...ms), median(ms) - least];
      return [name, ...figures.map((figure) => figure.toFixed(0)), '30'];
    }),
  );
}
