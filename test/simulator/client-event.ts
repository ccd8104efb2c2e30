import type { JsonObject } from '../../src/wire/json.ts';
import { type ApiError, check, findFault, object, text } from './shape.ts';

/** An item that a client may add to a conversation. */
export type ClientItem =
  | { type: 'message'; role: 'user' | 'system' | 'assistant'; content: [{ type: string; text: string }] }
  | { type: 'function_call_output'; call_id: string; output: string };

const MESSAGE = {
  type: 'message',
  role: ['user', 'system', 'assistant'],
  content: check('a list of one part', (value) => Array.isArray(value) && value.length === 1),
};
const OUTPUT = { type: 'function_call_output', call_id: text, output: text };

/** Returns the item of a conversation.item.create, or what is wrong with the event. */
export function readItem(event: JsonObject): ClientItem | { error: ApiError } {
  const envelope = { type: text, event_id: text, item: object };
  const error = findFault(envelope, event, '', ['item']) ?? findItemFault(event.item as JsonObject);
  return error === undefined ? (event.item as ClientItem) : { error };
}

/** Returns what is wrong with the shape of a response.cancel. */
export function findCancelFault(event: JsonObject): ApiError | undefined {
  return findFault({ type: text, event_id: text, response_id: text }, event, '');
}

/** The digits in a user's message such as `(The caller pressed 1 2 3 on the keypad.)`. */
export function digitsIn(message: string): string | undefined {
  return message.match(/\bpressed (?<digits>[\d*#](?: [\d*#])*)/)?.groups?.digits?.replaceAll(' ', '');
}

function findItemFault(item: JsonObject): ApiError | undefined {
  const shape = item.type === OUTPUT.type ? OUTPUT : MESSAGE;
  const fault = findFault(shape, item, 'item', Object.keys(shape));
  if (fault !== undefined || !Array.isArray(item.content)) return fault;
  const part = { type: item.role === 'assistant' ? 'output_text' : 'input_text', text };
  return findFault(part, item.content[0], 'item.content[0]', Object.keys(part));
}
