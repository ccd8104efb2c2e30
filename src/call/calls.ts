import type { FastifyBaseLogger } from 'fastify';
import type { Usage } from '../contract.ts';
import type { Reason } from '../failure.ts';
import { after, every, isDoneWithin, running } from '../timers.ts';
import { issueToken, isTokenGood } from '../wire/auth.ts';
import { loggable } from '../wire/loggable.ts';
import { isPhoneAudio, type Start } from '../wire/twilio.ts';
import type { NextStep } from '../wire/twiml.ts';
import { type CallDetails, readDetails } from '../wire/webhook.ts';
import { whoAnswers } from './answer.ts';
import { Call, type Shared } from './call.ts';
import { Known, type Ringing } from './known.ts';
import { userCode } from './user-code.ts';

/** Calls that are remembered, beside those that aren't over. */
const MAX_KNOWN = 10_000;
/** Streams of a call, one after another: it may come back from a menu, for example. */
const MAX_STREAMS = 5;
/** Ringing calls of a number, and of all callers without one. */
const MAX_RINGING = 3;
const MAX_RINGING_WITHHELD = 20;
/** Interval of the line about given-up calls, in ms. */
const GIVEN_UP_MS = 60_000;
/** Interval of the calls' ticks, in ms: one timer for all wakes the process less than one for each. */
const TICK_MS = 250;

/** A call of a webhook while `answer` is asked, and what aborts it. */
interface Beginning {
  call: Promise<Call | Reason>;
  details: CallDetails;
  abort: AbortController;
}

/** The calls of this process, by CallSid, and the only place that says whether one may begin. */
export class Calls {
  readonly #shared: Shared;
  /** By CallSid, the latest last. */
  readonly #known = new Map<string, Known>();
  readonly #live = new Set<Call>();
  readonly #beginning = new Map<string, Beginning>();
  /** What must be done before the process may exit. */
  readonly #unfinished = new Set<Promise<unknown>>();
  /** `closing` takes only streams of calls that were answered, here or by another process; `closed` none. */
  #state: 'open' | 'closing' | 'closed' = 'open';
  #ticker: NodeJS.Timeout | undefined;
  /** Calls given up in the last minute, and their usage by kind. */
  readonly #givenUp = new Map<string, number>();

  constructor(shared: Shared) {
    this.#shared = shared;
  }

  /** Calls that ring or are live. */
  get live(): number {
    return this.#live.size;
  }

  get isClosing(): boolean {
    return this.#state !== 'open';
  }

  /** Whether no stream may begin a call any more. */
  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** Whether all places are taken. */
  get isBusy(): boolean {
    return this.#live.size >= this.#shared.config.maxConcurrentCalls;
  }

  /**
   * Begins the call of a webhook. Resolves to the ringing call, or to the reason why it may not begin. One that was given up
   * before is begun by its stream.
   */
  async ring(callSid: string, details: CallDetails, log: FastifyBaseLogger): Promise<Ringing | Reason> {
    const known = this.#knownOf(callSid);
    if (known.call?.isRinging) return known.call;
    const beginning = this.#beginning.get(callSid);
    if (beginning !== undefined) return beginning.call;
    const refusal = this.#refusal(known, 'webhook');
    if (refusal !== undefined) return refusal;
    if (known.givenUp !== undefined) return known.givenUp;
    if (this.#isRingingTooOften(details)) return 'too many ringing';
    const abort = new AbortController();
    const call = this.#begin('webhook', callSid, details, abort, log).finally(() =>
      this.#beginning.delete(callSid),
    );
    this.#beginning.set(callSid, { call, details, abort });
    if (typeof (await call) === 'object') log.info('call answered');
    return call;
  }

  /**
   * Returns the call of a stream that starts, or the reason to reject the stream; a Promise if `answer` is called.
   *
   * The stream must carry mu-law, be the only one of its call, and bring an unused token, which this process or another issued
   * with the same auth token. `abort` is aborted when the stream or its call ends.
   */
  claim(
    { start }: Start,
    abort: AbortController,
    log: FastifyBaseLogger,
  ): Call | Reason | Promise<Call | Reason> {
    const { callSid, mediaFormat, customParameters } = start;
    const { token = '', call: details = '' } = customParameters;
    const { assistant, config } = this.#shared;
    if (config.twilioAuthToken !== undefined) {
      const known = this.#known.get(callSid);
      // The wall clock may jump: only tokens of other processes depend on it.
      const now = known?.isFresh(token) ? 0 : Date.now();
      if (!isTokenGood(config.twilioAuthToken, callSid, token, now, details)) return 'bad token';
      if (known?.usedTokens.includes(token)) return 'token already used';
    }
    if (!isPhoneAudio(mediaFormat)) {
      const format = { ...mediaFormat, encoding: loggable(mediaFormat.encoding ?? '') };
      log.warn({ format }, 'unsupported audio format');
      return 'not mu-law 8000 mono';
    }
    const known = this.#knownOf(callSid);
    const refusal = this.#refusal(known, 'stream');
    if (refusal === 'call already live') return refusal;
    // What Twilio is to say unless the call begins.
    this.#over(known, { say: assistant.apology, as: assistant.say }, known.call === undefined);
    if (refusal !== undefined) return refusal;
    known.use(token);
    if (known.call !== undefined) return known.call;
    return this.#begin('stream', callSid, readDetails(details), abort, log);
  }

  /** Returns a token that admits one stream of the call; undefined if none is needed. */
  issueToken(callSid: string, details: string): string | undefined {
    const { twilioAuthToken } = this.#shared.config;
    if (twilioAuthToken === undefined) return undefined;
    const token = issueToken(twilioAuthToken, callSid, Date.now(), details);
    this.#knownOf(callSid).issue(token);
    return token;
  }

  /** The caller has hung up, perhaps while the call rang. */
  hungUp(callSid = ''): void {
    userCode.run({ callSid }, () => this.#beginning.get(callSid)?.abort.abort());
    const call = this.#known.get(callSid)?.call;
    if (call?.isRinging) call.end('not claimed');
  }

  /**
   * What Twilio, which asks when a stream has ended, is to do next; undefined for a call that this process doesn't know. A call
   * whose stream seems to live ends: the caller has hung up if it `isOver`.
   */
  next(callSid: string | undefined, isOver = false): NextStep {
    const known = this.#known.get(callSid ?? '');
    const lost = isOver ? 'twilio stopped' : 'twilio lost';
    known?.call?.end(known.call.isRinging ? 'no start' : lost);
    return known?.takeNext();
  }

  /** Whether Twilio says for the first time what came of the transfer `dialSid` of a call. */
  isNewTransfer(callSid = '', dialSid = 'unknown'): boolean {
    const known = this.#knownOf(callSid);
    const isNew = known.transfer !== dialSid;
    known.transfer = dialSid;
    return isNew;
  }

  /** Takes only streams of calls that were answered. */
  close(): void {
    this.#state = 'closing';
  }

  /** Ends all calls, and takes no more; live ones `with a word` of the assistant's. Resolves when they have ended. */
  async end(how: 'at once' | 'with a word'): Promise<void> {
    this.#state = 'closed';
    const ended = [...this.#live].map(({ finished }) => finished);
    for (const call of this.#live) {
      if (how === 'at once') call.end('shutdown');
      else call.conclude('shutdown');
    }
    await Promise.all(ended);
  }

  /** Has `untilFinished` wait for `work`, which must not reject. */
  track(work: Promise<unknown>): void {
    this.#unfinished.add(work);
    void work.then(() => this.#unfinished.delete(work));
  }

  /** Resolves to true when no call is left and all that follows their ends is done, or to false after `maxMs`. */
  async untilFinished(maxMs: number): Promise<boolean> {
    const finished = async () => {
      while (this.#unfinished.size > 0) await Promise.all(this.#unfinished);
    };
    return isDoneWithin(finished(), maxMs);
  }

  /** Returns what is known of a call, which becomes the latest. */
  #knownOf(callSid: string): Known {
    const known = this.#known.get(callSid) ?? new Known();
    this.#known.delete(callSid);
    for (const [oldest, { call }] of this.#known) {
      if (this.#known.size < MAX_KNOWN) break;
      if (call === undefined) this.#known.delete(oldest);
    }
    this.#known.set(callSid, known);
    return known;
  }

  /** Why a call may not begin now; a call that rings has begun. */
  #refusal({ call, streams }: Known, by: 'webhook' | 'stream'): Reason | undefined {
    if (this.#state === 'closed') return 'shutdown';
    if (call?.isRinging) return undefined;
    if (this.#state === 'closing' && by === 'webhook') return 'shutdown';
    if (call !== undefined) return 'call already live';
    if (this.isBusy) return 'busy';
    const isLimited = this.#shared.config.twilioAuthToken !== undefined;
    return isLimited && streams >= MAX_STREAMS ? 'too many streams' : undefined;
  }

  /** Whether the number of a call has as many ringing calls as it may. */
  #isRingingTooOften(details: CallDetails): boolean {
    const number = theirs(details);
    const beginning = [...this.#beginning.values()].map(({ details }) => details);
    const ringing = [...this.#live].filter(({ isRinging }) => isRinging).map(({ info }) => info);
    const same = [...beginning, ...ringing].filter((each) => theirs(each) === number);
    return same.length >= (number === undefined ? MAX_RINGING_WITHHELD : MAX_RINGING);
  }

  /** Begins a call, for its webhook or its stream. Aborts `abort` if it may not, or when it is over. */
  async #begin(
    by: 'webhook' | 'stream',
    callSid: string,
    details: CallDetails,
    abort: AbortController,
    log: FastifyBaseLogger,
  ): Promise<Call | Reason> {
    const info = { sid: callSid, ...details, signal: abort.signal };
    const abortUserCode = () => userCode.run({ callSid }, () => abort.abort());
    const persona = await whoAnswers(this.#shared.assistant, info, log);
    // Meanwhile the last place may be taken, or the call have begun by another stream, or been hung up.
    const known = this.#knownOf(callSid);
    const refusal = known.call === undefined ? this.#refusal(known, by) : 'call already live';
    if (abort.signal.aborted) return 'not claimed';
    if (persona === 'busy' || refusal !== undefined) {
      abortUserCode();
      return refusal ?? 'busy';
    }
    const call = new Call(info, persona, this.#shared, log, (reason, next, isAsked) => {
      this.#live.delete(call);
      known.call = undefined;
      if (reason === 'not claimed') {
        known.givenUp = { persona: { twiml: persona.twiml } };
        void call.finished.then(() => this.#noteGivenUp(call.usage));
      }
      this.#over(known, next, isAsked);
      abortUserCode();
    });
    known.call = call;
    known.streams += 1;
    known.clearNext();
    this.#live.add(call);
    this.#ticker ??= every(TICK_MS, () => this.#tick());
    this.track(call.finished);
    call.begin();
    return call;
  }

  /** Notes what Twilio is to do when it asks, which it will about a stream that this process closes. */
  #over(known: Known, next: NextStep, isAsked: boolean): void {
    const asked = known.setNext(next);
    if (next !== undefined && isAsked) this.track(asked);
  }

  /** Counts the usage of a given-up call, for a line once a minute. */
  #noteGivenUp(usage: Usage): void {
    if (this.#givenUp.size === 0) {
      after(GIVEN_UP_MS, () => {
        this.#shared.log.info(Object.fromEntries(this.#givenUp), 'calls given up');
        this.#givenUp.clear();
      });
    }
    for (const [kind, count] of Object.entries({ calls: 1, ...usage })) {
      this.#givenUp.set(kind, (this.#givenUp.get(kind) ?? 0) + count);
    }
  }

  #tick(): void {
    const now = running();
    for (const call of this.#live) call.tick(now);
    if (this.#live.size > 0) return;
    clearInterval(this.#ticker);
    this.#ticker = undefined;
  }
}

/** The caller's number; of a call that we place, `from` is the owner's. */
function theirs({ direction, from, to }: CallDetails): string | undefined {
  return direction === 'outbound' ? to : from;
}
