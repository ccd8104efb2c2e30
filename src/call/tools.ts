import { parseObject } from '../wire/json.ts';
import type { FunctionCall } from '../wire/openai.ts';
import { type Effect, newItem } from './effect.ts';

/** A tool that may be called, and how long it may take, in ms. */
export interface ToolInfo {
  name: string;
  timeoutMs: number;
}

/** What came of a tool: what to tell the model, or how it ends the call. */
export type ToolResult = { output: string } | { ends: { to: string | undefined } };

/** What the model is told where a tool gives it nothing: never what was thrown, which it might read aloud. */
export const OUTPUTS = {
  unknown: 'There is no such tool.',
  badArguments: 'The arguments are not a JSON object.',
  tooMany: 'Too many tools are running.',
  failed: 'The tool failed. Tell the caller that it did not work.',
  interrupted: 'The caller has cut in, and the call goes on.',
  timedOut: 'The tool took too long. Tell the caller that it did not work.',
};

const MAX_RUNNING = 10;
/** How many calls are remembered, so that none is run twice. */
const MAX_REMEMBERED = 1_000;

/** The tools that the model calls: each call is run once at most, and answered once. */
export class Tools {
  readonly #tools: readonly ToolInfo[];
  readonly #calls = new Set<string>();
  /** By `call_id`: the response that made the call, and when it has taken too long. */
  readonly #running = new Map<string, { name: string; responseId: string; deadline: number }>();

  constructor(tools: readonly ToolInfo[]) {
    this.#tools = tools;
  }

  /** Whether any runs that is waited for: nobody waits for those of a response that the caller has left. */
  areAwaited(isLeft: (responseId: string) => boolean): boolean {
    return [...this.#running.values()].some(({ responseId }) => !isLeft(responseId));
  }

  /** Returns the tool to run, or what to tell the model at once; undefined for a call that was made before. */
  called(responseId: string, call: FunctionCall, now: number): Effect | { output: string } | undefined {
    const { call_id: callId, name } = call;
    if (this.#calls.has(callId)) return undefined;
    this.#calls.add(callId);
    const [oldest] = this.#calls;
    if (oldest !== undefined && this.#calls.size > MAX_REMEMBERED) this.#calls.delete(oldest);
    const tool = this.#tools.find((each) => each.name === name);
    if (tool === undefined) return { output: OUTPUTS.unknown };
    const args = call.arguments.trim() === '' ? {} : parseObject(call.arguments);
    if (args === undefined) return { output: OUTPUTS.badArguments };
    if (this.#running.size >= MAX_RUNNING) return { output: OUTPUTS.tooMany };
    this.#running.set(callId, { name, responseId, deadline: now + tool.timeoutMs });
    return { run: name, callId, args };
  }

  /** Notes that a call is over; returns the response that made it, or undefined if it was over before. */
  finished(callId: string): string | undefined {
    const running = this.#running.get(callId);
    this.#running.delete(callId);
    return running?.responseId;
  }

  /** The session that made the calls is gone: what comes of them is of no use. */
  forget(): void {
    this.#running.clear();
  }

  /** The calls that have taken too long. */
  overdue(now: number): { callId: string; name: string }[] {
    return [...this.#running]
      .filter(([, { deadline }]) => now >= deadline)
      .map(([callId, { name }]) => ({ callId, name }));
  }
}

/** Tells the model what came of a call. */
export function functionOutput(call_id: string, output: string): Effect {
  return newItem({ type: 'function_call_output', call_id, output });
}
