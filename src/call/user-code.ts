import { AsyncLocalStorage } from 'node:async_hooks';
import type { FastifyBaseLogger } from 'fastify';
import { type Assistant, type CallInfo, Ending, type Report, type Tool, type ToolCall } from '../contract.ts';
import { OUTPUTS, type ToolResult } from '../conversation/tools.ts';
import { wait } from '../timers.ts';

/** The owner's code that is running, as the log names it, and how many errors have escaped from it: they end nothing. */
interface UserCode {
  callSid?: string;
  hook?: 'answer' | 'ended';
  tool?: string;
  errors?: number;
}

export const userCode = new AsyncLocalStorage<UserCode>();

/** How many errors are logged that escape from the same code. */
const MAX_ERRORS = 20;
/** How much of what a tool returns the model is told, in characters of JSON. */
const MAX_OUTPUT = 30_000;
/** Time for `ended`, in ms. */
const ENDED_MS = 5_000;

/** Logs an error that nobody has caught if it comes from the owner's code; returns whether it does. */
export function logEscaped(err: unknown, log: FastifyBaseLogger): boolean {
  const code = userCode.getStore();
  if (code === undefined) return false;
  code.errors = (code.errors ?? 0) + 1;
  const advice = 'await or catch it in src/assistant.ts';
  if (code.errors <= MAX_ERRORS) log.error({ ...code, err, advice }, 'error escaped');
  return true;
}

/** A tool that the model has called. */
export class ToolRun {
  readonly #tool: Tool;
  readonly #call: CallInfo;
  readonly #abort = new AbortController();
  readonly #startedAt = performance.now();
  /** Known once it has returned, or was aborted. */
  report: ToolCall | undefined;

  constructor(tool: Tool, call: CallInfo) {
    this.#tool = tool;
    this.#call = { ...call, signal: this.#abort.signal };
  }

  /** Resolves to the result; an exception goes to `onError`, unless it follows the abort, and the model is told of it. */
  async result(args: Record<string, unknown>, onError: (err: unknown) => void): Promise<ToolResult> {
    try {
      const value = await this.#run(() => this.#tool.run(args, this.#call));
      const result = value instanceof Ending ? { ends: value } : { output: asOutput(value, onError) };
      this.#over(true);
      return result;
    } catch (err) {
      if (!this.#call.signal.aborted) onError(err);
      this.#over(false);
      return { output: OUTPUTS.failed };
    }
  }

  /** The tool took too long, or the call is over. */
  abort(): void {
    this.#over(false);
    this.#run(() => this.#abort.abort());
  }

  #over(ok: boolean): void {
    this.report ??= { name: this.#tool.name, ms: Math.round(performance.now() - this.#startedAt), ok };
  }

  #run<Result>(code: () => Result): Result {
    return userCode.run({ callSid: this.#call.sid, tool: this.#tool.name }, code);
  }
}

/** Throws for what is no JSON. An output that is too long is cut, and says so. */
function asOutput(value: unknown, onCut: (err: Error) => void): string {
  const json = JSON.stringify(value) ?? 'Done.';
  if (json.length <= MAX_OUTPUT) return json;
  const mark = `cut off: ${MAX_OUTPUT} of ${json.length} characters`;
  onCut(new Error(`output ${mark}`));
  return `${json.slice(0, MAX_OUTPUT)}… (${mark})`;
}

/** Calls `ended`, and resolves when it has finished, or after 5 s. */
export async function reportCall(
  assistant: Assistant,
  report: Report,
  log: FastifyBaseLogger,
): Promise<void> {
  let isPending = true;
  const ended = userCode
    .run({ callSid: report.sid, hook: 'ended' }, async () => assistant.ended?.(report))
    .catch((err: unknown) => log.error({ err }, 'ended() failed'))
    .finally(() => {
      isPending = false;
    });
  await Promise.race([ended, wait(ENDED_MS)]);
  if (isPending) log.error({ advice: 'its record is lost if the process ends now' }, 'ended() timed out');
}
