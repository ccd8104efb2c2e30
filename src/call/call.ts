import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../config.ts';
import type { Assistant, CallInfo, Override, Persona, Usage } from '../contract.ts';
import { Conversation } from '../conversation/conversation.ts';
import type { Effect, End } from '../conversation/effect.ts';
import { ENDINGS, logFailure, type Reason } from '../failure.ts';
import { CallSessions, type CallSessionsListener } from '../openai/call-sessions.ts';
import { turnEndMs } from '../openai/session-update.ts';
import type { Standby } from '../openai/standby.ts';
import { isDoneWithin, running } from '../timers.ts';
import { texts } from '../wire/json.ts';
import type { TwilioCommand, TwilioMessage } from '../wire/twilio.ts';
import type { NextStep } from '../wire/twiml.ts';
import type { Stream } from './stream.ts';
import { reportCall, ToolRuns } from './user-code.ts';

/** What calls share. */
export interface Shared {
  config: Config;
  assistant: Assistant;
  standby: Standby;
  log: FastifyBaseLogger;
}

/** Called once, when a call is over: why, what Twilio is to do next, and whether it will ask. */
type OnOver = (reason: Reason, next: NextStep, isAsked: boolean) => void;

/** Time for the stream of a ringing call, in ms, with and without TwiML before it. */
const CLAIM_MS = 15_000;
const SHORT_CLAIM_MS = 5_000;
const NO_CALLER_ID = 'give putThrough a callerId: Twilio refuses to dial without one (13214)';
/** Time for the transcription of the caller's last words, in ms. */
const LATE_TEXT_MS = 2_000;

/**
 * A call in this process: a conversation, and the sessions that it is held with.
 *
 *     ringing ── its stream starts ──▶ live ──▶ over
 *        └────── 15 s, or a failure ─────────────▲
 */
export class Call {
  readonly info: CallInfo;
  readonly #shared: Shared;
  readonly persona: Persona;
  readonly #onOver: OnOver;
  readonly #conversation: Conversation;
  readonly #sessions: CallSessions;
  readonly #startedAt = performance.now();
  #state: 'ringing' | 'live' | 'over' = 'ringing';
  #log: FastifyBaseLogger;
  #twilio: Stream | undefined;
  /** When it has rung for too long, or its time is up, by `running()`. */
  #endsAt = Infinity;
  readonly #tools: ToolRuns;
  #textsWritten: () => void = () => {};
  #resolveFinished: () => void = () => {};
  /** Resolves when both sides are closed, the log has the call, and `ended` has finished or had 5 s. */
  readonly finished = new Promise<void>((resolve) => {
    this.#resolveFinished = resolve;
  });

  constructor(
    info: CallInfo,
    persona: Persona & Override,
    shared: Shared,
    log: FastifyBaseLogger,
    onOver: OnOver,
  ) {
    this.info = info;
    this.#shared = shared;
    this.persona = persona;
    this.#onOver = onOver;
    this.#log = log;
    const { greeting, turnDetection, tools = [], about } = persona;
    this.#conversation = new Conversation(
      turnEndMs(turnDetection),
      tools,
      { greets: greeting !== '', about },
      running(),
    );
    this.#tools = new ToolRuns(tools, info, this.#log);
    this.#sessions = new CallSessions(shared, persona, this.#log, this.#listener);
  }

  /** To be called right after the constructor. The assistant may speak, and waits to be heard. */
  begin(): void {
    this.#endsAt = running() + (this.persona.twiml ? CLAIM_MS : SHORT_CLAIM_MS);
    this.#sessions.begin();
  }

  get isRinging(): boolean {
    return this.#state === 'ringing';
  }

  /** What the call has used so far. */
  get usage(): Usage {
    return this.#conversation.tally.usage;
  }

  /** The stream of a ringing call has started. */
  attach(twilio: Stream, log: FastifyBaseLogger): void {
    this.#state = 'live';
    this.#twilio = twilio;
    this.#log = log;
    this.#endsAt = running() + this.#shared.config.maxCallSeconds * 1_000;
    log.info('call started');
    this.#perform((now) => this.#conversation.streamStarted(twilio.streamSid, now));
  }

  fromTwilio(message: TwilioMessage): void {
    this.#perform((now) => this.#conversation.fromTwilio(message, now));
  }

  /** To be called a few times a second. */
  tick(now: number): void {
    if (this.#twilio?.isFlooded(now)) this.end('twilio flooded');
    if (now >= this.#endsAt && this.isRinging) return this.end('not claimed');
    if (now >= this.#endsAt) this.conclude('time limit');
    this.#perform(() => this.#conversation.tick(now));
    this.#sessions.tick(() => this.#conversation.isPause(now), this.#endsAt - now);
  }

  /** Has the assistant say why the call must end, if it can. The call ends when that was heard, or after 10 s. */
  conclude(reason: Reason): void {
    this.#sessions.keep();
    this.#perform((now) => this.#conversation.conclude(reason, this.#sentence(reason), now));
  }

  /** Ends the call: the only way out. */
  end(reason: Reason, how: Omit<End, 'end'> = {}): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#sessions.keep();
    this.#conversation.over(running());
    const { outcome, code } = ENDINGS[reason];
    this.#twilio?.close(code);
    this.#onOver(reason, this.#next(reason, how), this.#twilio !== undefined);
    this.#tools.abortAll();
    const { failure = { reason } } = how;
    if (outcome === 'failed' && failure.reason !== 'shutdown') {
      const sessionId = this.#sessions.current.id;
      logFailure(this.#log.child({ sessionId }), failure, 'call failed');
    }
    void this.#finish(reason, how.putThrough, performance.now()).then(() => this.#resolveFinished());
  }

  /** The sentence before an end that the assistant or the caller didn't choose. */
  #sentence(reason: Reason): string {
    const { apology, timeIsUp } = this.persona;
    return ENDINGS[reason].outcome === 'time limit' ? timeIsUp : apology;
  }

  #next(reason: Reason, { putThrough, isTold, ...given }: Omit<End, 'end'>): NextStep {
    // The person who is dialled sees the caller's number, if there is one.
    const callerId = given.callerId ?? this.info.from ?? this.info.to;
    const { nobodyAnswered, say } = this.persona;
    if (putThrough !== undefined) {
      if (callerId === undefined && !putThrough.startsWith('sip:'))
        this.#log.warn({ advice: NO_CALLER_ID }, 'no caller ID');
      return { dial: putThrough, callerId, query: { nobodyAnswered, ...texts(say) } };
    }
    if (ENDINGS[reason].outcome === 'completed') return undefined;
    return { say: isTold ? undefined : this.#sentence(reason), as: say };
  }

  readonly #listener: CallSessionsListener = {
    ready: () => {
      this.#log.info({ sessionId: this.#sessions.current.id }, 'session ready');
      this.#perform((now) => this.#conversation.sessionReady(now));
    },
    event: (event) => {
      this.#perform((now) => this.#conversation.fromOpenAI(event, now));
      if (this.#state === 'over' && this.#conversation.transcript.isWritten) this.#textsWritten();
    },
    lost: (isExpiring, heardAt) => this.#conversation.sessionLost(isExpiring, running(), heardAt),
    isWaiting: () => this.#conversation.isCallerWaiting,
    failed: (failure) => this.#perform((now) => this.#conversation.fail(failure, now)),
  };

  #perform(act: (now: number) => Effect[]): void {
    const commands: TwilioCommand[] = [];
    // A session that takes over meanwhile knows nothing of these effects.
    const session = this.#sessions.current;
    for (const effect of act(running())) {
      if (this.#state === 'over') return;
      if ('end' in effect) this.end(effect.end, effect);
      else if ('failedTool' in effect) this.#tools.failed(effect.failedTool, effect.why, effect.callId);
      else if ('run' in effect) void this.#run(effect.run, effect.callId, effect.args);
      else if (effect.to === 'twilio') commands.push(effect.message);
      else session.send(effect.message);
    }
    if (commands.length > 0 && this.#state === 'live') this.#twilio?.send(commands);
  }

  async #run(name: string, callId: string, args: Record<string, unknown>): Promise<void> {
    const result = await this.#tools.run(name, callId, args);
    this.#perform((now) => this.#conversation.toolDone(callId, result, now));
  }

  /** Resolves when the caller's last words are written down, if they will be. */
  async #lateTexts(): Promise<void> {
    const { current } = this.#sessions;
    if (!this.persona.transcription || this.#conversation.transcript.isWritten || !current.isReady) return;
    const written = new Promise<void>((resolve) => {
      this.#textsWritten = resolve;
    });
    await isDoneWithin(Promise.race([written, current.closed]), LATE_TEXT_MS);
  }

  /** Waits for both sides' close codes, then logs and reports the call. */
  async #finish(reason: Reason, putThrough: string | undefined, endedAt: number): Promise<void> {
    await this.#lateTexts();
    const { takeovers, redials, current } = this.#sessions;
    current.close();
    const [twilio, openai] = await Promise.all([this.#twilio?.closed, current.closed]);
    const durationMs = Math.round(endedAt - this.#startedAt);
    const ignored = { twilio: this.#twilio?.ignored ?? 0, openai: this.#sessions.ignored };
    const ends = { sessionId: current.id, reason, durationMs, twilio, openai, ignored, takeovers };
    this.#log.info({ ...ends, ...this.#conversation.summary(redials) }, 'call ended');
    const report = {
      ...this.info,
      startedAt: new Date(Date.now() - (performance.now() - this.#startedAt)),
      reason,
      outcome: ENDINGS[reason].outcome,
      ...(putThrough !== undefined && { putThrough }),
      tools: this.#tools.reports,
      seconds: durationMs / 1_000,
      usage: { ...this.usage },
      transcript: this.#conversation.transcript.entries(),
    };
    await reportCall(this.#shared.assistant, report, this.#log);
  }
}
