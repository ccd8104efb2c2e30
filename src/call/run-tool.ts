import { type CallInfo, Ending, type Tool } from '../contract.ts';
import { OUTPUTS, type ToolResult } from '../conversation/tools.ts';

/** How much of what a tool returns the model is told, in characters of JSON. */
const MAX_OUTPUT = 30_000;

/** Runs a tool, and resolves to what came of it; whatever it throws goes to `onError`, and the model is told that it failed. */
export async function runTool(
  tool: Tool,
  args: Record<string, unknown>,
  call: CallInfo,
  onError: (err: unknown) => void,
): Promise<ToolResult> {
  try {
    const value = await tool.run(args, call);
    return value instanceof Ending ? { ends: { to: value.to } } : { output: asOutput(value) };
  } catch (err) {
    onError(err);
    return { output: OUTPUTS.failed };
  }
}

/** Throws for what is no JSON. */
function asOutput(value: unknown): string {
  return (JSON.stringify(value) ?? 'Done.').slice(0, MAX_OUTPUT);
}
