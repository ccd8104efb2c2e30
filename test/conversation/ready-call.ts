import { Conversation } from '../../src/conversation/conversation.ts';
import type { Effect } from '../../src/conversation/effect.ts';
import type { ToolInfo } from '../../src/conversation/tools.ts';
import type { ServerEvent } from '../../src/wire/openai.ts';
import { created, STREAM, speechStarted, speechStopped } from '../support/wire.ts';

export const TOOLS: ToolInfo[] = [
  { name: 'time', timeoutMs: 10_000 },
  { name: 'weather', timeoutMs: 60_000 },
  { name: 'bye', timeoutMs: 10_000 },
];

/** A call whose session and stream are ready, and in which the caller speaks first. */
export function readyCall(tools = TOOLS): Conversation {
  const call = new Conversation(1_000, tools, { greets: false }, 0);
  call.sessionReady(0);
  call.streamStarted(STREAM, 0);
  return call;
}

/** Functions that have something happen in the call that `current` returns. */
export function inCall(current: () => Conversation) {
  /** Takes events that come at `now`, in order; returns what is done about them all. */
  function take(now: number, ...events: ServerEvent[]): Effect[] {
    return events.flatMap((event) => current().fromOpenAI(event, now));
  }

  /** A turn of the caller's in which response `id` begins. */
  function turn(id: string, now: number): void {
    take(now, speechStarted, speechStopped, created(id));
  }

  function tick(now: number): Effect[] {
    return current().tick(now);
  }

  return { take, turn, tick };
}
