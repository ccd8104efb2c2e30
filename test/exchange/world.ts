import { watchStalls } from '../../src/timers.ts';
import { Clock } from './clock.ts';
import { OpenAI } from './openai.ts';
import type { DialFault, Fault, Script } from './script.ts';
import { Server } from './server.ts';
import { Twilio } from './twilio.ts';

/** What no line of a log may have in it. */
export const SECRET = {
  key: 'sk-hush-0123456789',
  authToken: 'hush-auth-token',
  words: 'hush, these are words',
  /** How a caller's number begins. */
  from: '+1415555',
};
/** How long a balancer takes to notice that a server stops, in ms. */
const NOTICE_MS = 500;
/** How long calls may take at most, and then servers to exit, in ms. */
const CALLS_MS = 300_000;
const EXITS_MS = 120_000;

/** Servers, Twilio, OpenAI and a balancer in one thread and in simulated time, which do what a script says. */
export class World {
  readonly script: Script;
  readonly clock = new Clock();
  readonly openai: OpenAI;
  readonly twilio: Twilio;
  readonly servers: Server[];
  /** All that happened, a line each. */
  readonly log: string[] = [];
  /** What Twilio and OpenAI object to. */
  readonly objections: string[] = [];
  /** When each fault that only one meets was met. */
  readonly metAt = new Map<Fault, number>();
  /** How many listeners the process has more than before. */
  leftListeners = 0;
  #streams = 0;
  #toolCalls = 0;
  #turn = 0;

  constructor(script: Script) {
    this.script = script;
    this.openai = new OpenAI(this);
    this.twilio = new Twilio(this);
    this.servers = Array.from({ length: script.servers }, (_, number) => new Server(this, number));
  }

  /** Runs it to its end. */
  async run(): Promise<void> {
    const { clock, script } = this;
    const before = processListeners();
    const listeners = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    process.on('unhandledRejection', (reason) => this.#rejected(reason));
    clock.install();
    clock.party = this.servers[0]?.party ?? clock.party;
    const unwatch = watchStalls((ms) => this.note('servers', `stalled ${ms}`));
    try {
      for (const server of this.servers) await server.start();
      for (const fault of script.faults) this.#plan(fault);
      for (const server of this.servers) server.count();
      await clock.run(CALLS_MS, () => this.twilio.calls.every(({ overAt }) => overAt !== undefined));
      for (const server of this.servers) await clock.as(server.party, () => server.stop('the world ends'));
      await clock.run(clock.now + EXITS_MS, () =>
        this.servers.every(({ exitedAt }) => exitedAt !== undefined),
      );
      // What is still on its way, such as a close.
      await clock.run(clock.now + 1_000, () => false);
    } finally {
      unwatch();
      clock.uninstall();
      this.openai.close();
      process.removeAllListeners('unhandledRejection');
      for (const listener of listeners) process.on('unhandledRejection', listener);
      this.leftListeners = processListeners() - before;
    }
  }

  note(who: string, what: string): void {
    this.log.push(`${this.clock.now.toFixed(1).padStart(9)}  ${who}  ${what}`);
  }

  object(what: string): void {
    this.objections.push(what);
  }

  nextStream(): number {
    this.#streams += 1;
    return this.#streams;
  }

  nextToolCall(): number {
    this.#toolCalls += 1;
    return this.#toolCalls;
  }

  /** The server that a balancer sends a call's request to. */
  serverFor(sid: string): Server | undefined {
    const { now } = this.clock;
    const up = this.servers.filter(
      ({ stoppedAt = Infinity, exitedAt }) => exitedAt === undefined && now < stoppedAt + NOTICE_MS,
    );
    const all = up.length > 0 ? up : this.servers.filter(({ exitedAt }) => exitedAt === undefined);
    this.#turn += 1;
    const sticky = Number(sid.slice(-4)) % this.servers.length;
    if (this.script.balancer === 'in turn') return all[this.#turn % all.length];
    return all.find(({ number }) => number >= sticky) ?? all[0];
  }

  /** What whoever dials OpenAI now meets. */
  dialFault(): DialFault | undefined {
    const { now } = this.clock;
    for (const fault of this.script.faults) {
      if (fault.does !== 'dialling' || fault.at > now || this.metAt.has(fault)) continue;
      if (fault.ms === 0) this.metAt.set(fault, now);
      if (fault.ms === 0 || now < fault.at + fault.ms) return fault.meets;
    }
    return undefined;
  }

  #plan(fault: Fault): void {
    if (fault.does === 'dialling') return;
    const number = fault.does === 'stall' ? 0 : fault.server % this.servers.length;
    const server = this.servers[number];
    if (server === undefined) return;
    this.clock.schedule(fault.at, server.party, 0, () => {
      this.note(server.party.name, `${fault.does} ${'ms' in fault ? fault.ms : ''}`);
      // The machine stands still, as `src/timers.ts` knows one process only.
      if (fault.does === 'stall') for (const each of this.servers) each.stall(fault.ms);
      else if (fault.does === 'jump') server.jump(fault.ms);
      else server.stop('a signal');
    });
  }

  /** What a user's function lets escape drains the process. */
  #rejected(reason: unknown): void {
    const server = this.servers.find(({ party }) => party === this.clock.party);
    if (server === undefined || !String(reason).includes('it floats')) this.object(`a rejection: ${reason}`);
    else server.stop('a rejection');
  }
}

function processListeners(): number {
  return process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0);
}
