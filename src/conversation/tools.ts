import type { Ending, Tool } from '../contract.ts';
import { parseObject } from '../wire/json.ts';
import type { FunctionCall } from '../wire/openai.ts';
import { dropOldest } from './drop-oldest.ts';
import { type Effect, newItem, textMessage } from './effect.ts';

/** What is read of a tool here. */
export type ToolInfo = Pick<Tool, 'name' | 'timeoutMs'>;

/** A tool that runs: the response that called it, and when it has taken too long; `isOrphan` if its session was lost. */
export interface RunningTool {
  name: string;
  responseId: string;
  deadline: number;
  isOrphan: boolean;
}

interface Told {
  output: string;
}

/** What came of a tool: what to tell the model, or how it ends the call. */
export type ToolResult = Told | { ends: Partial<Ending> };

/** What the model is told where a tool gives it nothing: never what was thrown, which it might read aloud. */
export const OUTPUTS = {
  unknown: 'There is no such tool.',
  badArguments: 'The arguments are not a JSON object.',
  tooMany: 'Too many tools are running.',
  failed: 'The tool failed. Tell the caller that it did not work.',
  timedOut: 'The tool took too long. Tell the caller that it did not work.',
};

export const TIMED_OUT = { output: OUTPUTS.timedOut };

/** Time for a tool, in ms, unless it says another. */
const TOOL_MS = 10_000;
const MAX_RUNNING = 10;
/** How many calls are remembered, so that none is run twice. */
const MAX_REMEMBERED = 1_000;

/** The tools that the model calls: each call is run once at most, and answered once. */
export class Tools {
  readonly #tools: readonly ToolInfo[];
  // All by `call_id`.
  readonly #calls = new Set<string>();
  readonly #running = new Map<string, RunningTool>();
  /** Those that haven't returned, though they may have taken too long. */
  readonly #unreturned = new Set<string>();
  /** What the model was told last, and may not have passed on to the caller yet. */
  readonly #unspoken = new Map<string, { tool: RunningTool; told: Told; isSeen: boolean }>();

  constructor(tools: readonly ToolInfo[]) {
    this.#tools = tools;
  }

  /** Whether any runs that the model waits for: not for an orphan, or one of a response that the caller has left. */
  areAwaited(isLeft: (responseId: string) => boolean): boolean {
    return [...this.#running.values()].some(({ responseId, isOrphan }) => !isOrphan && !isLeft(responseId));
  }

  get running(): string[] {
    return [...this.#running.values()].map(({ name }) => name);
  }

  /** Returns the tool to run, or what to tell the model at once; nothing for a call that was made before. */
  called(responseId: string, call: FunctionCall, now: number): Effect[] {
    const { call_id: callId, name } = call;
    if (this.#calls.has(callId)) return [];
    this.#calls.add(callId);
    dropOldest(this.#calls, MAX_REMEMBERED);
    const tool = this.#tools.find((each) => each.name === name);
    const refuse = (why: string) => [{ failedTool: name, why }, functionOutput(callId, why)];
    if (tool === undefined) return refuse(OUTPUTS.unknown);
    const args = call.arguments.trim() === '' ? {} : parseObject(call.arguments);
    if (args === undefined) return refuse(OUTPUTS.badArguments);
    if (this.#unreturned.size >= MAX_RUNNING) return refuse(OUTPUTS.tooMany);
    this.#unreturned.add(callId);
    this.#running.set(callId, {
      name,
      responseId,
      deadline: now + (tool.timeoutMs ?? TOOL_MS),
      isOrphan: false,
    });
    return [{ run: name, callId, args }];
  }

  /** Notes that a call is over, and returns it; undefined if it was over before. */
  finished(callId: string, result: ToolResult): RunningTool | undefined {
    if (result !== TIMED_OUT) this.#unreturned.delete(callId);
    const tool = this.#running.get(callId);
    this.#running.delete(callId);
    if (tool !== undefined && 'output' in result)
      this.#unspoken.set(callId, { tool, told: result, isSeen: false });
    dropOldest(this.#unspoken, MAX_RUNNING);
    return tool;
  }

  /** A response begins, which sees what the model was told before. */
  responseCreated(): void {
    for (const unspoken of this.#unspoken.values()) unspoken.isSeen = true;
  }

  /** A response was said to its end, or is empty by choice: what was told before it began was passed on. */
  responseSaid(): void {
    for (const [callId, { isSeen }] of this.#unspoken) if (isSeen) this.#unspoken.delete(callId);
  }

  /** The session that made the calls is gone: the tools go on. Returns what it had no time to pass on, for the next one. */
  sessionLost(): [string, ToolResult][] {
    const unspoken = [...this.#unspoken];
    this.#unspoken.clear();
    for (const [callId, { tool }] of unspoken) {
      tool.deadline = Number.POSITIVE_INFINITY;
      this.#running.set(callId, tool);
    }
    for (const tool of this.#running.values()) tool.isOrphan = true;
    return unspoken.map(([callId, { told }]) => [callId, told]);
  }

  /** The tools that have taken too long, each once. */
  overdue(now: number) {
    const overdue = [...this.#running].filter(([, { deadline }]) => now >= deadline);
    for (const [, tool] of overdue) tool.deadline = Number.POSITIVE_INFINITY;
    return overdue.map(([callId, { name }]) => ({ failedTool: name, why: OUTPUTS.timedOut, callId }));
  }
}

function functionOutput(call_id: string, output: string): Effect {
  return newItem({ type: 'function_call_output', call_id, output });
}

/** Tells the model what came of a tool: in words, where it isn't the session that made the call. */
export function outputOf(callId: string, { name, isOrphan }: RunningTool, { output }: Told): Effect {
  return isOrphan ? textMessage('user', `(${name} returned: ${output})`) : functionOutput(callId, output);
}
