import { type JsonObject, parseObject } from '../../src/wire/json.ts';
import type { ParrotSession } from './parrot-session.ts';
import type { Item, OutputItem, ToolCall } from './reply.ts';
import { newId } from './session-config.ts';

/** Reads a call as it is typed, `book {"day":"Friday"}`; undefined if it is none. */
export function readToolCall(line: string): ToolCall | undefined {
  const { tool, json = '{}' } = /^(?<tool>[\w-]+)(?:\s+(?<json>.+))?$/s.exec(line.trim())?.groups ?? {};
  const args = parseObject(json);
  return tool === undefined || args === undefined ? undefined : { tool, args };
}

/** A call of a tool, its arguments with the white space that the real ones come with. */
export class FunctionCall implements OutputItem {
  readonly callId = newId('call');
  readonly item: Item = { id: newId('item'), type: 'function_call', audioMs: 0 };
  readonly #session: ParrotSession;
  readonly #name: string;
  readonly #arguments: string;
  readonly #ids: { response_id: string; output_index: number };

  constructor(
    session: ParrotSession,
    { tool, args }: ToolCall,
    ids: { response_id: string; output_index: number },
  ) {
    this.#session = session;
    this.#name = tool;
    this.#arguments = `${JSON.stringify(args, null, 2)} \n`;
    this.#ids = ids;
  }

  begin(previous_item_id: string | null): void {
    const item = this.#wireItem('in_progress', '');
    this.#session.send({ type: 'response.output_item.added', ...this.#ids, item });
    this.#session.send({ type: 'conversation.item.added', previous_item_id, item });
    for (const [delta] of this.#arguments.matchAll(/.{1,8}/gs)) {
      this.#session.send({ type: 'response.function_call_arguments.delta', ...this.#of, delta });
    }
  }

  finish(status: string): JsonObject {
    const item = this.#wireItem(status, this.#arguments);
    const whole = { name: this.#name, arguments: this.#arguments };
    this.#session.send({ type: 'response.function_call_arguments.done', ...this.#of, ...whole });
    this.#session.send({ type: 'conversation.item.done', previous_item_id: null, item });
    this.#session.send({ type: 'response.output_item.done', ...this.#ids, item });
    return item;
  }

  drop(): void {}

  get #of(): JsonObject {
    return { ...this.#ids, item_id: this.item.id, call_id: this.callId };
  }

  #wireItem(status: string, args: string): JsonObject {
    const { id, type } = this.item;
    return { id, type, status, name: this.#name, call_id: this.callId, arguments: args };
  }
}
