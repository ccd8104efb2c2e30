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

/** Audio for the caller, in base64, and the mark that comes back when it was played. */
export function sound(streamSid: string, payload: string, name: string): Effect[] {
  return [
    { to: 'twilio', message: { event: 'media', streamSid, media: { payload } } },
    { to: 'twilio', message: { event: 'mark', streamSid, mark: { name } } },
  ];
}

/** Tells OpenAI where the caller stopped hearing an item. */
export function truncate({ item_id, audio_end_ms }: { item_id: string; audio_end_ms: number }): Effect {
  return toOpenAI({ type: 'conversation.item.truncate', item_id, content_index: 0, audio_end_ms });
}

/** Adds an item to the conversation. */
export function newItem(item: NewItem): Effect {
  return toOpenAI({ type: 'conversation.item.create', item });
}

/** Whether it adds an item to the conversation. */
export function addsItem(effect: Effect): boolean {
  return 'to' in effect && effect.to === 'openai' && effect.message.type === 'conversation.item.create';
}

/** Adds a message that is text: what the caller did, what was said, or what the model should know. */
export function textMessage(role: 'system' | 'user' | 'assistant', words: string): Effect {
  const text = oneLine(words);
  if (role === 'assistant')
    return newItem({ type: 'message', role, content: [{ type: 'output_text', text }] });
  return newItem({ type: 'message', role, content: [{ type: 'input_text', text }] });
}

/** The text without control, format and separator characters, so that nobody's words look like another's. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ');
}
