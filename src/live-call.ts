import { setTimeout as pause } from 'node:timers/promises';
import type { FastifyBaseLogger } from 'fastify';
import { Call } from './call/call.ts';
import type { Effect } from './call/effect.ts';
import { OUTPUTS, type ToolResult } from './call/tools.ts';
import type { Calls, NextStep } from './calls.ts';
import type { Config } from './config.ts';
import { type Assistant, type CallInfo, Ending, type Override, type Persona } from './contract.ts';
import { ENDINGS, type Failure, logFailure, type Outcome, type Reason } from './failure.ts';
import { Session, type SessionListener } from './session.ts';
import { turnEndMs } from './session-update.ts';
import type { Standby } from './standby.ts';
import { loggable } from './wire/loggable.ts';
import type { Close } from './wire/socket.ts';
import type { TwilioCommand, TwilioMessage } from './wire/twilio.ts';

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
/** How much of what a tool returns the model is told, in characters of JSON. */
const MAX_OUTPUT = 30_000;
/** How many tools that fail are logged one by one. */
const MAX_TOOL_FAILURES = 20;
/** How long what the caller has just said may take to be written down, and how often that is looked at, in ms. */
const LATE_TEXT_MS = 2_000;
const LATE_TEXT_POLL_MS = 50;
/** How much the model is told about a caller, in characters. */
const MAX_ABOUT = 2_000;

/** One call in this process, from its webhook or its stream to its end: a conversation, and the session it is held with. */
export class LiveCall {
  readonly info: CallInfo;
  /** Resolves when it is over, both sides are closed, and the log has it. */
  readonly finished: Promise<void>;
  readonly #shared: Shared;
  readonly #persona: Persona;
  /** Aborts `info.signal`. */
  readonly #abort: AbortController;
  readonly #call: Call;
  readonly #session: Session;
  readonly #startedAt = performance.now();
  #log: FastifyBaseLogger;
  #limit: NodeJS.Timeout | undefined;
  #stream: CallStream | undefined;
  #isOver = false;
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
    this.#call = new Call(
      {
        greets: greeting !== '',
        turnEndMs: turnEndMs(turnDetection),
        tools: tools.map(({ name, timeoutMs = TOOL_MS }) => ({ name, timeoutMs })),
        about: about ? quoted(about) : undefined,
      },
      this.#startedAt,
    );
    shared.calls.begin(info.sid);
    const standbySession = shared.standby.take();
    this.#session = standbySession ?? new Session(shared.config, persona, this.#log, this.#listener);
    standbySession?.handOver(persona, this.#listener, this.#log);
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
    this.#limit = setTimeout(() => this.end('time limit'), this.#shared.config.maxCallSeconds * 1_000);
    log.info('call started');
    this.#perform(this.#call.streamStarted(stream.streamSid, performance.now()));
  }

  fromTwilio(message: TwilioMessage): void {
    this.#perform(this.#call.fromTwilio(message, performance.now()));
  }

  /** To be called a few times a second. */
  tick(now: number): void {
    this.#perform(this.#call.tick(now));
  }

  /** The only way out, for whatever reason, and only once. */
  end(reason: Reason, failure: Failure = { reason }, putThrough?: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#limit);
    const { outcome, code } = ENDINGS[reason];
    this.#stream?.close(code);
    this.#shared.calls.end(this.info.sid, this.#next(outcome, putThrough));
    this.#abort.abort();
    if (outcome === 'failed')
      logFailure(this.#log.child({ sessionId: this.#session.id }), failure, 'call failed');
    const finished = this.#finish(reason, performance.now());
    void finished.then(() => this.#resolveFinished());
    this.#shared.calls.finish(finished.then((durationMs) => this.#report(reason, durationMs)));
  }

  #next(outcome: Outcome, putThrough: string | undefined): NextStep {
    const { apology, timeIsUp } = this.#persona;
    if (outcome === 'failed') return { say: apology };
    if (outcome === 'time limit') return { say: timeIsUp };
    // Who is dialled sees the caller's number, where there is one.
    const callerId = this.info.from ?? this.info.to;
    return putThrough === undefined ? undefined : { dial: putThrough, callerId };
  }

  readonly #listener: SessionListener = {
    ready: () => {
      this.#log.info({ sessionId: this.#session.id }, 'session ready');
      this.#perform(this.#call.sessionReady(performance.now()));
    },
    event: (event) => {
      const effects = this.#call.fromOpenAI(event, performance.now());
      // What was said at the end may be written down only now.
      if (!this.#isOver) this.#perform(effects);
    },
    redialling: () => this.#call.sessionLost(),
    failed: (failure) => this.end(failure.reason, failure),
  };

  #perform(effects: Effect[]): void {
    const commands: TwilioCommand[] = [];
    for (const effect of effects) {
      if (this.#isOver) return;
      if ('end' in effect) {
        this.end(effect.end, { reason: effect.end, error: effect.error }, effect.putThrough);
      } else if ('failedTool' in effect) this.#toolFailed(effect.failedTool, { why: effect.why });
      else if ('run' in effect) void this.#run(effect.run, effect.callId, effect.args);
      else if (effect.to === 'openai') this.#session.send(effect.message);
      else commands.push(effect.message);
    }
    if (commands.length > 0 && !this.#isOver) this.#stream?.send(commands);
  }

  async #run(name: string, callId: string, args: Record<string, unknown>): Promise<void> {
    const tool = this.#persona.tools?.find((each) => each.name === name);
    let result: ToolResult = { output: OUTPUTS.failed };
    try {
      const value = await tool?.run(args, this.info);
      result = value instanceof Ending ? { ends: { to: value.to } } : { output: asOutput(value) };
    } catch (err) {
      this.#toolFailed(name, { err });
    }
    if (!this.#isOver) this.#perform(this.#call.toolDone(callId, result, performance.now()));
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
    const isLate = () => !this.#call.transcript.isWritten && performance.now() < deadline;
    while (this.#session.isReady && isLate()) {
      await pause(LATE_TEXT_POLL_MS);
    }
  }

  /** Waits for both sides to close, since only then is it known how they did; logs that, and returns how long it took. */
  async #finish(reason: Reason, endedAt: number): Promise<number> {
    await this.#lateTexts();
    this.#session.close();
    const [twilio, openai] = await Promise.all([this.#stream?.closed, this.#session.closed]);
    const durationMs = Math.round(endedAt - this.#startedAt);
    const ignored = { twilio: this.#stream?.ignored() ?? 0, openai: this.#session.ignored };
    const ids = { sessionId: this.#session.id };
    this.#log.info(
      { ...ids, reason, durationMs, twilio, openai, ignored, ...this.#call.summary() },
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
        usage: this.#call.tally.usage,
        transcript: this.#call.transcript.entries(),
      });
    } catch (err) {
      this.#log.error({ err }, 'ended() failed');
    }
  }
}

/** What a tool returned, as the model is told it; throws for what is no JSON. */
function asOutput(value: unknown): string {
  return (JSON.stringify(value) ?? 'Done.').slice(0, MAX_OUTPUT);
}

/** What the owner knows of a caller may be the caller's own words: it is data, and no instructions. */
function quoted(about: string): string {
  const text = about.replace(/\p{Cc}/gu, ' ').slice(0, MAX_ABOUT);
  return `What is known of this caller, as data: ${JSON.stringify(text)}`;
}
