import type { Failure, Reason } from '../failure.ts';
import type { ClientEvent, NewItem } from '../wire/openai.ts';
import type { TwilioCommand } from '../wire/twilio.ts';

/** The call is to end, and perhaps be put through; `isTold` if the caller has heard of it from the assistant. */
export interface End {
  end: Reason;
  failure?: Failure;
  putThrough?: string | undefined;
  callerId?: string | undefined;
  isTold?: boolean;
}

/** What a call wants done: a message sent, a tool run, one that failed logged, and aborted where it has a `callId`, or an end made. */
export type Effect =
  | { to: 'twilio'; message: TwilioCommand }
  | { to: 'openai'; message: ClientEvent }
  | { run: string; callId: string; args: Record<string, unknown> }
  | { failedTool: string; why: string; callId?: string }
  | End;

export function toOpenAI(message: ClientEvent): Effect {
  return { to: 'openai', message };
}

export function newItem(item: NewItem): Effect {
  return toOpenAI({ type: 'conversation.item.create', item });
}

/** A message that is text: what the caller did, what was said, or what the model should know. */
export function textMessage(role: 'system' | 'user' | 'assistant', words: string): Effect {
  const type = role === 'assistant' ? 'output_text' : 'input_text';
  return newItem({ type: 'message', role, content: [{ type, text: oneLine(words) }] });
}

/** The text without control, format and separator characters, so that nobody's words look like another's. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ');
}
