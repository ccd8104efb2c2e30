import { AsyncLocalStorage } from 'node:async_hooks';
import type { FastifyBaseLogger } from 'fastify';
import { type Assistant, type CallInfo, Ending, type Report, type Tool, type ToolCall } from '../contract.ts';
import { dropOldest } from '../conversation/drop-oldest.ts';
import { OUTPUTS, type ToolResult } from '../conversation/tools.ts';
import { isDoneWithin } from '../timers.ts';
import { loggable } from '../wire/loggable.ts';

/** The owner's code that is running, as the log names it, and the number of errors that escaped from it. */
interface UserCode {
  callSid?: string;
  hook?: 'answer' | 'ended';
  tool?: string;
  errors?: number;
}

export const userCode = new AsyncLocalStorage<UserCode>();

/** Errors that are logged one by one, of a hook or of a call's tools. */
const MAX_ERRORS = 20;
const MAX_RUNS = 1_000;
/** The longest output of a tool, in characters of JSON. */
const MAX_OUTPUT = 30_000;
const ENDED_MS = 5_000;

/** Logs an uncaught error of the owner's code; returns false for any other. */
export function logEscaped(err: unknown, log: FastifyBaseLogger): boolean {
  const code = userCode.getStore();
  if (code === undefined) return false;
  code.errors = (code.errors ?? 0) + 1;
  const advice = 'await or catch it in src/assistant.ts';
  if (code.errors <= MAX_ERRORS) log.error({ ...code, err, advice }, 'error escaped');
  return true;
}

/** A tool that was called; its `report` is known once it has returned, or was aborted. */
interface ToolRun {
  tool: string;
  code: UserCode;
  abort: AbortController;
  startedAt: number;
  report?: ToolCall;
}

/** The tools of a call that the model has called. */
export class ToolRuns {
  readonly #tools: readonly Tool[];
  readonly #call: CallInfo;
  readonly #log: FastifyBaseLogger;
  /** By `call_id`. */
  readonly #runs = new Map<string, ToolRun>();
  #failures = 0;

  constructor(tools: readonly Tool[], call: CallInfo, log: FastifyBaseLogger) {
    this.#tools = tools;
    this.#call = call;
    this.#log = log;
  }

  /** Resolves to the result of a tool, for the model. An exception is logged, unless it follows the abort. */
  async run(name: string, callId: string, args: Record<string, unknown>): Promise<ToolResult> {
    const tool = this.#tools.find((each) => each.name === name);
    if (tool === undefined) return { output: OUTPUTS.unknown };
    const code = { callSid: this.#call.sid, tool: name };
    const run: ToolRun = { tool: name, code, abort: new AbortController(), startedAt: performance.now() };
    const { signal } = run.abort;
    this.#runs.set(callId, run);
    dropOldest(this.#runs, MAX_RUNS);
    try {
      // The `then` of what a library returns is the tool's code, too.
      const value = await userCode.run(code, async () => tool.run(args, { ...this.#call, signal }));
      const result = value instanceof Ending ? { ends: value } : { output: this.#asOutput(name, value) };
      over(run, true);
      return result;
    } catch (err) {
      if (!signal.aborted) this.#logFailure(name, { err });
      over(run, false);
      return { output: OUTPUTS.failed };
    }
  }

  /** The model was told that a tool failed: aborts it, if it was called. */
  failed(name: string, why: string, callId = ''): void {
    this.#logFailure(name, { why });
    this.#abort(this.#runs.get(callId));
  }

  abortAll(): void {
    for (const run of this.#runs.values()) this.#abort(run);
  }

  get reports(): ToolCall[] {
    return [...this.#runs.values()].flatMap(({ report = [] }) => report);
  }

  #abort(run: ToolRun | undefined): void {
    if (run === undefined) return;
    over(run, false);
    userCode.run(run.code, () => run.abort.abort());
  }

  /** Throws for what is no JSON. An output that is too long is cut, and says so. */
  #asOutput(name: string, value: unknown): string {
    const json = JSON.stringify(value) ?? 'Done.';
    if (json.length <= MAX_OUTPUT) return json;
    const mark = `cut off: ${MAX_OUTPUT} of ${json.length} characters`;
    this.#logFailure(name, { err: new Error(`output ${mark}`) });
    return `${json.slice(0, MAX_OUTPUT)}… (${mark})`;
  }

  #logFailure(name: string, cause: object): void {
    this.#failures += 1;
    if (this.#failures <= MAX_ERRORS) this.#log.error({ tool: loggable(name), ...cause }, 'tool failed');
  }
}

function over(run: ToolRun, ok: boolean): void {
  run.report ??= { name: run.tool, ms: Math.round(performance.now() - run.startedAt), ok };
}

/** Calls `ended`, and resolves when it has finished, or after 5 s. */
export async function reportCall(
  assistant: Assistant,
  report: Report,
  log: FastifyBaseLogger,
): Promise<void> {
  const ended = userCode
    .run({ callSid: report.sid, hook: 'ended' }, async () => assistant.ended?.(report))
    .catch((err: unknown) => log.error({ err }, 'ended() failed'));
  if (await isDoneWithin(ended, ENDED_MS)) return;
  log.error({ advice: 'its record is lost if the process ends now' }, 'ended() timed out');
}
