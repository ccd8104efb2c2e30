import type { Reason } from '../failure.ts';
import type { ClientEvent, OpenAIError } from '../wire/openai.ts';
import type { TwilioCommand } from '../wire/twilio.ts';

/** What a call wants done: a message sent, or the call ended. */
export type Effect =
  | { to: 'twilio'; message: TwilioCommand }
  | { to: 'openai'; message: ClientEvent }
  | { end: Reason; error?: OpenAIError | undefined };

export function toOpenAI(message: ClientEvent): Effect {
  return { to: 'openai', message };
}
