import { type JsonObject, parseObject } from '../../src/wire/json.ts';
import type { ParrotSession } from './parrot-session.ts';
import type { Item, OutputItem, ToolCall } from './reply.ts';
import { newId } from './session-config.ts';

/** Parses a call such as `book {"day":"Friday"}`. */
export function readToolCall(line: string): ToolCall | undefined {
  const { tool, json = '{}' } = /^(?<tool>[\w-]+)(?:\s+(?<json>.+))?$/s.exec(line.trim())?.groups ?? {};
  const args = parseObject(json);
  return tool === undefined || args === undefined ? undefined : { tool, args };
}

/** A call of a tool; its arguments have the white space of real ones. */
export class FunctionCall implements OutputItem {
  readonly callId = newId('call');
  readonly item: Item = { id: newId('item'), type: 'function_call', audioMs: 0 };
  readonly #session: ParrotSession;
  readonly #name: string;
  readonly #arguments: string;
  readonly #part: JsonObject;
  #sent = '';

  constructor(
    session: ParrotSession,
    { tool, args }: ToolCall,
    ids: { response_id: string; output_index: number },
  ) {
    this.#session = session;
    this.#name = tool;
    this.#arguments = `${JSON.stringify(args, null, 2)} \n`;
    this.#part = { ...ids, item_id: this.item.id, call_id: this.callId };
  }

  begin(): void {
    for (const [delta] of this.#arguments.matchAll(/.{1,8}/gs)) {
      this.#session.send({ type: 'response.function_call_arguments.delta', ...this.#part, delta });
      this.#sent += delta;
    }
  }

  finish(): void {
    const whole = { name: this.#name, arguments: this.#arguments };
    this.#session.send({ type: 'response.function_call_arguments.done', ...this.#part, ...whole });
  }

  drop(): void {}

  wire(status: string): JsonObject {
    const { id, type } = this.item;
    return { id, type, status, name: this.#name, call_id: this.callId, arguments: this.#sent };
  }
}
