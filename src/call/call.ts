import { setTimeout as pause } from 'node:timers/promises';
import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../config.ts';
import type { Assistant, CallInfo, Override, Persona } from '../contract.ts';
import { Conversation } from '../conversation/conversation.ts';
import type { Effect, End } from '../conversation/effect.ts';
import { ENDINGS, type Failure, logFailure, type Reason } from '../failure.ts';
import { CallSessions, type CallSessionsListener } from '../openai/call-sessions.ts';
import { turnEndMs } from '../openai/session-update.ts';
import type { Standby } from '../openai/standby.ts';
import { loggable } from '../wire/loggable.ts';
import type { Close } from '../wire/socket.ts';
import type { TwilioCommand, TwilioMessage } from '../wire/twilio.ts';
import type { Calls, NextStep } from './calls.ts';
import { runTool } from './run-tool.ts';

/** What every call shares. */
export interface Shared {
  config: Config;
  assistant: Assistant;
  calls: Calls;
  standby: Standby;
}

/** A call's stream, once it has started. */
export interface CallStream {
  streamSid: string;
  /** Sends what belongs together in one write. */
  send(commands: TwilioCommand[]): void;
  close(code: number): void;
  /** Resolves when it is closed. */
  closed: Promise<Close>;
  /** How many of its messages were ignored. */
  ignored(): number;
}

const TOOL_MS = 10_000;
/** How many tools that fail are logged one by one. */
const MAX_TOOL_FAILURES = 20;
/** How long what the caller has just said may take to be written down, and how often that is looked at, in ms. */
const LATE_TEXT_MS = 2_000;
const LATE_TEXT_POLL_MS = 50;

/** One call in this process, from its webhook or its stream to its end: a conversation, and the session it is held with. */
export class Call {
  readonly info: CallInfo;
  /** Resolves when it is over, both sides are closed, and the log has it. */
  readonly finished: Promise<void>;
  readonly #shared: Shared;
  readonly #persona: Persona;
  /** Aborts `info.signal`. */
  readonly #abort: AbortController;
  readonly #conversation: Conversation;
  readonly #sessions: CallSessions;
  readonly #startedAt = performance.now();
  #log: FastifyBaseLogger;
  #limit: NodeJS.Timeout | undefined;
  #stream: CallStream | undefined;
  #isOver = false;
  /** When it has lasted for as long as it may, by `performance.now()`. */
  #endsAt = Number.POSITIVE_INFINITY;
  #toolFailures = 0;
  #resolveFinished: () => void = () => {};

  /** Takes a place among the calls, and a session; what the assistant says waits for the stream. */
  constructor(
    info: CallInfo,
    abort: AbortController,
    persona: Persona & Override,
    shared: Shared,
    log: FastifyBaseLogger,
  ) {
    this.info = info;
    this.#abort = abort;
    this.finished = new Promise((resolve) => {
      this.#resolveFinished = resolve;
    });
    this.#shared = shared;
    this.#persona = persona;
    this.#log = log.child({ callSid: info.sid });
    const { greeting, turnDetection, tools = [], about } = persona;
    this.#conversation = new Conversation(
      {
        greets: greeting !== '',
        turnEndMs: turnEndMs(turnDetection),
        tools: tools.map(({ name, timeoutMs = TOOL_MS }) => ({ name, timeoutMs })),
        about,
      },
      this.#startedAt,
    );
    shared.calls.begin(info.sid);
    this.#sessions = new CallSessions(shared, persona, this.#log, this.#listener);
    this.#sessions.begin();
  }

  /** What comes before its stream. */
  get twiml(): string | undefined {
    return this.#persona.twiml;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** The stream of the call has started. */
  attach(stream: CallStream, log: FastifyBaseLogger): void {
    this.#stream = stream;
    this.#log = log;
    const maxMs = this.#shared.config.maxCallSeconds * 1_000;
    this.#endsAt = performance.now() + maxMs;
    this.#limit = setTimeout(() => this.conclude('time limit'), maxMs);
    log.info('call started');
    this.#perform((now) => this.#conversation.streamStarted(stream.streamSid, now));
  }

  fromTwilio(message: TwilioMessage): void {
    this.#perform((now) => this.#conversation.fromTwilio(message, now));
  }

  /** To be called a few times a second. */
  tick(now: number): void {
    this.#perform(() => this.#conversation.tick(now));
    if (!this.#isOver) this.#sessions.tick(() => this.#conversation.isPause(now), this.#endsAt - now);
  }

  /** Has the assistant itself say why the call has to end, where it can; the call is over once that was heard, or in 10 s. */
  conclude(reason: Reason): void {
    this.#sessions.keep();
    this.#perform((now) => this.#conversation.conclude(reason, this.#sentence(reason) ?? '', now));
  }

  /** The only way out, for whatever reason, and only once. */
  end(reason: Reason, failure: Failure = { reason }, how: Omit<End, 'end'> = {}): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#limit);
    this.#sessions.keep();
    const { outcome, code } = ENDINGS[reason];
    this.#stream?.close(code);
    this.#shared.calls.end(this.info.sid, this.#next(reason, how));
    this.#abort.abort();
    if (outcome === 'failed')
      logFailure(this.#log.child({ sessionId: this.#sessions.id }), failure, 'call failed');
    const finished = this.#finish(reason, performance.now());
    void finished.then(() => this.#resolveFinished());
    this.#shared.calls.finish(finished.then((durationMs) => this.#report(reason, durationMs)));
  }

  /** What is said to a caller whose call ends for that reason, if anything. */
  #sentence(reason: Reason): string | undefined {
    const { outcome } = ENDINGS[reason];
    if (outcome === 'failed') return this.#persona.apology;
    return outcome === 'time limit' ? this.#persona.timeIsUp : undefined;
  }

  #next(reason: Reason, { putThrough, isTold }: Omit<End, 'end'>): NextStep {
    // Who is dialled sees the caller's number, where there is one.
    const callerId = this.info.from ?? this.info.to;
    if (putThrough !== undefined) return { dial: putThrough, callerId };
    if (ENDINGS[reason].outcome === 'completed') return undefined;
    return { say: isTold ? undefined : this.#sentence(reason) };
  }

  readonly #listener: CallSessionsListener = {
    ready: () => {
      this.#log.info({ sessionId: this.#sessions.id }, 'session ready');
      this.#perform((now) => this.#conversation.sessionReady(now));
    },
    // What was said at the end may be written down only when all is over.
    event: (event) => this.#perform((now) => this.#conversation.fromOpenAI(event, now)),
    lost: (isExpiring) => this.#conversation.sessionLost(isExpiring, performance.now()),
    failed: (failure) => this.#ended({ end: failure.reason }, failure),
  };

  /** A call that was to end anyway ends as it was to, whatever fails. */
  #ended(end: End, failure: Failure): void {
    const how = end.isTold === undefined ? (this.#conversation.ending ?? end) : end;
    this.end(how.end, failure, how);
  }

  #perform(act: (now: number) => Effect[]): void {
    this.#sessions.check();
    const commands: TwilioCommand[] = [];
    const { takeovers } = this.#sessions;
    for (const effect of act(performance.now())) {
      if (this.#isOver) return;
      if ('end' in effect) this.#ended(effect, { reason: effect.end, error: effect.error });
      else if ('failedTool' in effect) this.#toolFailed(effect.failedTool, { why: effect.why });
      else if ('run' in effect) void this.#run(effect.run, effect.callId, effect.args);
      else if (effect.to === 'twilio') commands.push(effect.message);
      // One that took over in the midst of this knows nothing of it.
      else if (takeovers === this.#sessions.takeovers) this.#sessions.send(effect.message);
    }
    if (commands.length > 0 && !this.#isOver) this.#stream?.send(commands);
  }

  async #run(name: string, callId: string, args: Record<string, unknown>): Promise<void> {
    const tool = this.#persona.tools?.find((each) => each.name === name);
    if (tool === undefined) return;
    const result = await runTool(tool, args, this.info, (err) => this.#toolFailed(name, { err }));
    if (!this.#isOver) this.#perform((now) => this.#conversation.toolDone(callId, result, now));
  }

  #toolFailed(name: string, cause: { err: unknown } | { why: string }): void {
    this.#toolFailures += 1;
    if (this.#toolFailures > MAX_TOOL_FAILURES) return;
    this.#log.error({ tool: loggable(name), ...cause }, 'tool failed');
  }

  /** Waits for what the caller has just said to be written down, for 2 s at most. */
  async #lateTexts(): Promise<void> {
    const deadline = performance.now() + LATE_TEXT_MS;
    if (!this.#persona.transcription) return;
    const isLate = () => !this.#conversation.transcript.isWritten && performance.now() < deadline;
    while (this.#sessions.isReady && isLate()) {
      await pause(LATE_TEXT_POLL_MS);
    }
  }

  /** Waits for both sides to close, since only then is it known how they did; logs that, and returns how long it took. */
  async #finish(reason: Reason, endedAt: number): Promise<number> {
    await this.#lateTexts();
    this.#sessions.close();
    const [twilio, openai] = await Promise.all([this.#stream?.closed, this.#sessions.closed]);
    const durationMs = Math.round(endedAt - this.#startedAt);
    const ignored = { twilio: this.#stream?.ignored() ?? 0, openai: this.#sessions.ignored };
    const { id: sessionId, takeovers, redials } = this.#sessions;
    this.#log.info(
      {
        sessionId,
        reason,
        durationMs,
        twilio,
        openai,
        ignored,
        takeovers,
        ...this.#conversation.summary(redials),
      },
      'call ended',
    );
    return durationMs;
  }

  /** Tells `ended`, which may take its time. */
  async #report(reason: Reason, durationMs: number): Promise<void> {
    try {
      await this.#shared.assistant.ended?.({
        ...this.info,
        reason,
        seconds: durationMs / 1_000,
        usage: this.#conversation.tally.usage,
        transcript: this.#conversation.transcript.entries(),
      });
    } catch (err) {
      this.#log.error({ err }, 'ended() failed');
    }
  }
}
