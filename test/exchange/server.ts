import { readConfig } from '../../src/config.ts';
import { type Assistant, type CallInfo, hangUp, putThrough, type Report } from '../../src/contract.ts';
import { buildApp, type Relay } from '../../src/http/app.ts';
import { assistant as testAssistant, VAD } from '../simulator/assistant.ts';
import { Party } from './clock.ts';
import { Line, type LineOptions } from './line.ts';
import { OPENAI_HOST } from './openai.ts';
import { TOOLS, type ToolName } from './script.ts';
import { SECRET, type World } from './world.ts';

const COUNT_MS = 1_000;
/** How long `answer` takes, in ms, times the last digit of the call. */
const ANSWER_MS = 60;
export const RELAY_HOST = 'relay.example.com';
export const ORIGIN = `https://${RELAY_HOST}`;

/** A call that the assistant was asked about. */
interface AskedCall {
  sid: string;
  at: number;
  signal: AbortSignal;
  isAnswered?: boolean;
  endedAt?: number;
}

/** One process of the product's: the only place that knows how it is built and stopped. */
export class Server {
  readonly party: Party;
  readonly number: number;
  /** Its log, and what was reported of calls. */
  readonly lines: Record<string, unknown>[] = [];
  readonly reports: Report[] = [];
  /** The calls that the assistant was asked about, and when each was over. */
  readonly calls: AskedCall[] = [];
  /** How many calls it counted itself, every second, and which lived. */
  readonly counts: { at: number; live: number; living: AskedCall[] }[] = [];
  /** How often each of the model's calls was run, by its id. */
  readonly runs = new Map<number, number>();
  hasJumped = false;
  stoppedAt: number | undefined;
  exitedAt: number | undefined;
  readonly stalls: { at: number; ms: number }[] = [];
  readonly #world: World;
  readonly #lines = new Set<Line>();
  #relay: Relay | undefined;

  constructor(world: World, number: number) {
    this.#world = world;
    this.number = number;
    this.party = new Party(`server ${number}`);
  }

  /** Builds it, and has it believe that it listens. */
  async start(): Promise<void> {
    const { script } = this.#world;
    const config = readConfig({
      OPENAI_API_KEY: SECRET.key,
      // The port tells whose session it is: processes here share the turns in which they dial.
      OPENAI_REALTIME_URL: `ws://${OPENAI_HOST}:${this.number + 1}/v1/realtime`,
      TWILIO_AUTH_TOKEN: SECRET.authToken,
      PUBLIC_URL: ORIGIN,
      STANDBY_SESSIONS: String(script.standby),
      MAX_CONCURRENT_CALLS: String(script.places),
      MAX_CALL_SECONDS: String(script.maxCallSeconds),
      SHUTDOWN_GRACE_SECONDS: String(script.graceSeconds),
    });
    const logger = { level: 'trace', base: null, stream: { write: (line: string) => this.#write(line) } };
    this.#world.clock.party = this.party;
    this.#relay = await buildApp(config, this.#assistant(), logger);
    const { app } = this.#relay;
    const { server } = app;
    const close = server.close.bind(server);
    Object.assign(server, {
      listen: () => process.nextTick(() => server.emit('listening')),
      address: () => ({ address: '10.0.0.2', port: 443, family: 'IPv4' }),
      // The connections are none of Node's own.
      close: (done?: (error?: Error) => void) => close(() => this.#untilDisconnected(done)),
    });
    await app.listen({ host: '10.0.0.2', port: 443 });
  }

  /** A connection that Twilio opens: refused if there is nobody. */
  dial(from: Party, options: LineOptions): Line {
    const line = new Line(this.#world.clock, from, this.party, options);
    const [, far] = line.ends;
    if (this.exitedAt !== undefined) {
      line.reset();
      return line;
    }
    this.#lines.add(line);
    far.once('close', () => this.#lines.delete(line));
    this.#world.clock.arrive(this.#world.clock.now + options.delayMs, this.party, () => {
      if (!far.destroyed) this.#relay?.app.server.emit('connection', far);
    });
    return line;
  }

  /** What a signal does; to be called as the server. */
  stop(why: string): void {
    if (this.stoppedAt !== undefined || this.#relay === undefined) return;
    this.stoppedAt = this.#world.clock.now;
    this.#world.note(this.party.name, `is told to stop: ${why}`);
    void this.#stop(this.#relay);
  }

  async #stop({ app, shutDown }: Relay): Promise<void> {
    await shutDown(this.#world.script.graceSeconds * 1_000);
    await app.close();
    this.exitedAt = this.#world.clock.now;
    this.#world.note(this.party.name, 'exits');
  }

  /** Stands still, as a process does that computes or is not given the processor. */
  stall(ms: number): void {
    this.party.stalledUntil = this.#world.clock.now + ms;
    this.stalls.push({ at: this.#world.clock.now, ms });
  }

  /** Its wall clock jumps. */
  jump(ms: number): void {
    this.party.skewMs += ms;
    this.hasJumped = true;
  }

  /** The connections that Twilio has to it. */
  get connections(): number {
    return this.#lines.size;
  }

  /** Asks it every second how many calls are live. */
  count(): void {
    this.#world.clock.schedule(COUNT_MS, this.party, 0, () => {
      if (this.exitedAt !== undefined) return;
      this.count();
      this.#relay?.app.inject('/', (_closed, response) => {
        if (response === undefined) return;
        const living = this.calls.filter(({ signal, isAnswered }) => isAnswered && !signal.aborted);
        this.counts.push({ at: this.#world.clock.now, live: response.json().calls, living });
      });
    });
  }

  #untilDisconnected(done: (error?: Error) => void = () => {}): void {
    if (this.#lines.size === 0) return done();
    for (const { ends } of this.#lines) ends[1].once('close', () => this.#untilDisconnected(done));
  }

  #write(line: string): void {
    this.#world.note(this.party.name, line.trim());
    this.lines.push(JSON.parse(line));
  }

  #assistant(): Assistant {
    const clock = this.#world.clock;
    // No timer of the process's: a tool may go on when its call is over.
    const pause = (ms: number) =>
      new Promise<void>((resolve) => void clock.schedule(ms, this.party, 0, resolve));
    const acts: Record<(typeof TOOLS)[number], (call: CallInfo) => unknown> = {
      quick: () => ({ words: SECRET.words }),
      slow: () => pause(3_000),
      endless: () => new Promise(() => {}),
      throws: () => {
        throw new Error('it throws');
      },
      floats: () => void Promise.reject(new Error('it floats')),
      bye: () => hangUp(),
      transfer: async () => {
        await pause(1_500);
        return putThrough('+14155550111');
      },
    };
    return {
      ...testAssistant,
      transcription: { model: 'gpt-transcribe' },
      turnDetection: { ...VAD, idle_timeout_ms: this.#world.script.idleMs || undefined },
      tools: TOOLS.map((name: Exclude<ToolName, 'unknown' | 'garbled'>) => ({
        name,
        description: name,
        run: ({ id }, call) => {
          this.runs.set(Number(id), (this.runs.get(Number(id)) ?? 0) + 1);
          this.#world.note(this.party.name, `runs ${name} ${id}`);
          return acts[name](call);
        },
      })),
      answer: async ({ sid, signal }) => {
        const call: AskedCall = { sid, at: clock.now, signal };
        this.calls.push(call);
        signal.addEventListener('abort', () => Object.assign(call, { endedAt: clock.now }), { once: true });
        // It rings on meanwhile.
        await pause(Number(sid.at(-1)) * ANSWER_MS);
        call.isAnswered = true;
        return { instructions: `This is ${sid}.` };
      },
      ended: (report) => {
        this.reports.push(report);
        this.#world.note(this.party.name, `ended ${report.sid} ${report.reason} ${clock.now}`);
      },
    };
  }
}
