import type { Reason } from '../failure.ts';
import type { ClientEvent, NewItem, OpenAIError } from '../wire/openai.ts';
import type { TwilioCommand } from '../wire/twilio.ts';

/** What a call wants done: a message sent, a tool run, one that failed logged, or the call ended, and put through. */
export type Effect =
  | { to: 'twilio'; message: TwilioCommand }
  | { to: 'openai'; message: ClientEvent }
  | { run: string; callId: string; args: Record<string, unknown> }
  | { failedTool: string; why: string }
  | { end: Reason; error?: OpenAIError | undefined; putThrough?: string | undefined };

export function toOpenAI(message: ClientEvent): Effect {
  return { to: 'openai', message };
}

/** Audio for the caller, in base64, and the mark that comes back when it was played. */
export function sound(streamSid: string, payload: string, name: string): Effect[] {
  return [
    { to: 'twilio', message: { event: 'media', streamSid, media: { payload } } },
    { to: 'twilio', message: { event: 'mark', streamSid, mark: { name } } },
  ];
}

/** Adds an item to the conversation. */
export function newItem(item: NewItem): Effect {
  return toOpenAI({ type: 'conversation.item.create', item });
}

/** Adds a message that is text: what the caller did, or what the model should know. */
export function textMessage(role: 'system' | 'user', text: string): Effect {
  return newItem({ type: 'message', role, content: [{ type: 'input_text', text }] });
}
