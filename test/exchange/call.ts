import { readConnect, readRedirect, signature } from '../simulator/webhook.ts';
import { seeded } from '../support/random.ts';
import type { Party } from './clock.ts';
import type { Told } from './facts.ts';
import type { Act, Plan, Reply } from './script.ts';
import { ORIGIN, RELAY_HOST, type Server } from './server.ts';
import type { Session } from './session.ts';
import { Stream } from './stream.ts';
import { SECRET, type World } from './world.ts';

/** How long Twilio waits for an answer, in ms, and how long the balancer before it tries another server. */
const ANSWER_MS = 15_000;
const RETRY_MS = 50;
/** How long after the answer the stream is opened, and after its end the action is asked, in ms. */
const OPEN_MS = 400;
const LATE_MS = 20_000;
const ACTION_MS = 700;
/** How long a voice of Twilio's speaks, in ms, and a caller who hears nothing any more stays on a dead line. */
const SAY_MS = 2_000;
const PATIENCE_MS = 70_000;

/** A call from the caller's side: how it went is what the rules judge. */
export class Call {
  readonly name: string;
  readonly sid: string;
  readonly plan: Plan;
  readonly sessions: Session[] = [];
  readonly told: Told[] = [];
  readonly streams: Stream[] = [];
  /** When Twilio's own voice spoke. */
  readonly says: { begins: number; ends: number }[] = [];
  /** When the caller left, and when it was over, whoever ended it. */
  leftAt: number | undefined;
  overAt: number | undefined;
  readonly #world: World;
  readonly #party: Party;
  readonly #random: () => number;
  #replies = 0;
  /** Opens the stream anew, with the token that it had. */
  #comeAgain: (() => void) | undefined;

  constructor(world: World, party: Party, number: number, plan: Plan) {
    this.#world = world;
    this.#party = party;
    this.plan = plan;
    this.#random = seeded(plan.seed);
    this.name = `call ${number}`;
    this.sid = `CA${String(number).padStart(32, '0')}`;
  }

  nextReply(): Reply | undefined {
    this.#replies += 1;
    return this.plan.replies[this.#replies - 1];
  }

  get stream(): Stream | undefined {
    return this.streams[0];
  }

  ring(): void {
    this.note('rings');
    this.#ask('/incoming-call');
    if (this.plan.comes === 'after asking twice') this.#ask('/incoming-call', () => {});
    if (this.plan.comes === 'hangs up first') this.later(300, () => this.#giveUp());
  }

  /** Asks a webhook, by the balancer, and does what it is told. */
  #ask(
    path: string,
    act = (told: Told) => this.#obey(told),
    fields = {},
    since = this.#world.clock.now,
  ): void {
    const tell = (twiml: string | undefined, server?: Server) => {
      const told = { at: this.#world.clock.now, path, twiml, server };
      this.told.push(told);
      const { script, servers } = this.#world;
      const isUp = servers.some(({ stoppedAt }) => stoppedAt === undefined);
      const isCalm = isUp && script.faults.every(({ does }) => does === 'dialling' || does === 'jump');
      if (twiml === undefined && isCalm) this.#world.object(`${this.name} gets no answer from ${path}`);
      if (this.overAt === undefined) act(told);
    };
    const leftMs = since + ANSWER_MS - this.#world.clock.now;
    const server = this.#world.serverFor(this.sid);
    if (leftMs <= 0) return tell(undefined);
    const again = () => this.later(RETRY_MS, () => this.#ask(path, act, fields, since));
    if (server === undefined) return again();
    const [end] = server.dial(this.#party, this.#line()).ends;
    const From = SECRET.from + this.sid.slice(-4);
    const form = { CallSid: this.sid, From, To: '+14155550199', Direction: 'inbound', ...fields };
    const body = new URLSearchParams(form).toString();
    const headers = {
      Host: RELAY_HOST,
      Connection: 'close',
      'Content-Type': 'application/x-www-form-urlencoded',
      'Content-Length': String(body.length),
      ...signature(SECRET.authToken, ORIGIN + path, form),
    };
    const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    let answer = '';
    end.on('data', (chunk) => {
      answer += chunk;
    });
    end.once('close', () => {
      const [top, ...rest] = answer.split('\r\n\r\n');
      if (top === '') again();
      else tell(top?.startsWith('HTTP/1.1 20') ? rest.join('\r\n\r\n') : undefined, server);
    });
    this.later(leftMs, () => end.destroy());
    end.write(`POST ${path} HTTP/1.1\r\n${head.join('')}\r\n${body}`);
  }

  #obey({ twiml, path, server }: Told): void {
    this.note(`is told by ${server?.party.name}: ${twiml?.replace(/^.*\n/, '').trim() ?? 'nothing'}`);
    if (twiml === undefined) return this.#say(() => this.#end());
    const redirect = readRedirect(twiml);
    if (redirect !== undefined) return this.later(redirect.afterMs, () => this.#ask(redirect.url));
    const connect = readConnect(twiml);
    if (connect !== undefined) {
      const { comes } = this.plan;
      if (comes === 'never') return this.later(LATE_MS, () => this.leave());
      const open = () => this.#open(connect.parameters, new URL(connect.url).pathname);
      this.later(comes === 'late' ? LATE_MS : OPEN_MS, open);
      if (comes === 'twice') this.later(OPEN_MS + 200, open);
      return;
    }
    if (twiml.includes('<Dial'))
      return this.later(3_000, () => this.#ask(path.replace('call-ended', 'transfer-ended')));
    if (twiml.includes('<Say>')) return this.#say(() => this.#end());
    this.#end();
  }

  #open(parameters: Record<string, string>, path: string, since = this.#world.clock.now): void {
    const server = this.#world.serverFor(this.sid);
    if (this.overAt !== undefined) return;
    const isLate = this.#world.clock.now - since > ANSWER_MS;
    if (server === undefined && isLate) return this.#end();
    if (server === undefined) return this.later(RETRY_MS, () => this.#open(parameters, path, since));
    const dial = () => {
      const line = server.dial(this.#party, this.#line());
      const stream = new Stream(this.#world, this, this.#party, server, line, parameters, path);
      this.streams.push(stream);
      return stream;
    };
    const isFirst = this.streams.length === 0;
    const stream = dial();
    if (!isFirst) return;
    if (this.plan.comes === 'once more at the end') this.#comeAgain = dial;
    stream.onLost = () => {
      if (isLate) return this.#streamEnded();
      this.streams.splice(0, 1);
      this.later(RETRY_MS, () => this.#open(parameters, path, since));
    };
    stream.onOpen = () => this.#begin(stream);
    stream.onClose = () => this.#streamEnded();
  }

  /** The stream begins: from now on happens what is planned. */
  #begin(stream: Stream): void {
    for (const act of this.plan.acts)
      this.later(act.at, () => this.overAt === undefined && this.#act(act, stream));
  }

  #act(act: Act, stream: Stream): void {
    if (act.does !== 'speak') this.note(`${act.does}${'side' in act ? ` ${act.side}` : ''}`);
    const session = this.sessions.at(-1);
    if ('side' in act && act.side === 'openai') {
      if (!session?.isOpen) return;
      if (act.does === 'reset') session.reset();
      else if (act.does === 'break') session.break();
      else if (act.does === 'close') session.close(act.code);
      else if (act.does === 'hold') session.hold(act.ms);
      else if (act.does === 'stop reading') session.stopReading(act.ms);
      return;
    }
    switch (act.does) {
      case 'press':
        for (const digit of act.digits) stream.press(digit);
        return;
      case 'mute':
        stream.mutedUntil = this.#world.clock.now + act.ms;
        return;
      case 'hang up':
        return this.leave();
      case 'stop without closing':
        stream.stop();
        return this.#left();
      case 'close':
        stream.close(act.code);
        if (act.code <= 1001) this.#left();
        return;
      case 'reset':
        return stream.line.reset();
      case 'break':
        stream.line.break();
        return this.later(PATIENCE_MS, () => this.leave());
      case 'hold':
        return stream.line.hold(act.ms);
      case 'stop reading':
        return stream.stopReading(act.ms);
      default:
        stream.speakUntil = this.#world.clock.now + (act.does === 'speak' ? act.ms : 0);
    }
  }

  /** Hangs up while it rings, of which Twilio tells the webhook. */
  #giveUp(): void {
    this.leave();
    this.#ask('/incoming-call', () => {}, { CallStatus: 'completed' });
  }

  leave(): void {
    if (this.overAt !== undefined) return;
    for (const stream of this.streams) {
      stream.stop();
      stream.close(1000);
    }
    this.#left();
  }

  #left(): void {
    this.leftAt = this.#world.clock.now;
    this.note('leaves');
    this.#end();
  }

  #streamEnded(): void {
    if (this.overAt !== undefined) return;
    this.later(ACTION_MS, () => this.overAt === undefined && this.#ask(`/call-ended/${this.sid}`));
  }

  #say(then: () => void): void {
    const begins = this.#world.clock.now;
    this.says.push({ begins, ends: begins + SAY_MS });
    this.later(SAY_MS, then);
  }

  #end(): void {
    this.overAt ??= this.#world.clock.now;
    this.note('is over');
    if (this.#comeAgain) this.later(1_000, this.#comeAgain);
    this.#comeAgain = undefined;
  }

  #line() {
    const { delayMs, jitterMs } = this.plan;
    return { delayMs, jitterMs, random: this.#random };
  }

  later(ms: number, act: () => void): void {
    this.#world.clock.schedule(ms, this.#party, 0, act);
  }

  note(text: string): void {
    this.#world.note(this.name, text);
  }
}
