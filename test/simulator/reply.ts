import type { JsonObject } from '../../src/wire/json.ts';
import type { Manner } from './conversation.ts';
import { FunctionCall } from './function-call.ts';
import type { ParrotSession } from './parrot-session.ts';
import { newId } from './session-config.ts';
import { SpokenItem } from './spoken-item.ts';

/** One item of the conversation; `audioMs` is the length of its audio so far. */
export interface Item {
  id: string;
  type: 'message' | 'function_call' | 'function_call_output';
  role?: 'user' | 'assistant' | 'system';
  audioMs: number;
  /** The client's message, or a function's output. */
  text?: string;
}

/** An item of a response, with the events of its kind. */
export interface OutputItem {
  readonly item: Item;
  /** Sends the events of its beginning. */
  begin(): void;
  /** Sends the events of its end. */
  finish(): void;
  /** Stops its timers, and sends nothing. */
  drop(): void;
  /** The item on the wire, with its content so far. */
  wire(status: string): JsonObject;
}

export interface ToolCall {
  tool: string;
  args: object;
}

/** A response: words in mu-law, a call of a tool, or both in that order. */
export interface Output {
  words?: Uint8Array | undefined;
  call?: ToolCall | undefined;
}

export interface ReplyOptions {
  output: Output;
  metadata: unknown;
  /** Adds an item to the conversation, and returns the id of the item before. */
  join: (item: Item) => string | null;
  /** Called after response.done. */
  onEnd: (status: ReplyStatus) => void;
}

export type ReplyStatus = 'completed' | 'cancelled';

export type CancelReason = 'turn_detected' | 'client_cancelled';

/** An active response, whose events have the order and shapes of recorded ones. */
export class Reply {
  readonly id = newId('resp');
  readonly #session: ParrotSession;
  readonly #manner: Manner;
  readonly #options: ReplyOptions;
  readonly #items: OutputItem[] = [];
  #call: FunctionCall | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(session: ParrotSession, manner: Manner, options: ReplyOptions) {
    this.#session = session;
    this.#manner = manner;
    this.#options = options;
  }

  /** The length of its audio so far. */
  get audioMs(): number {
    return this.#items.reduce((sum, { item }) => sum + item.audioMs, 0);
  }

  get callId(): string | undefined {
    return this.#call?.callId;
  }

  /** Sends response.created, and the rest as time goes by. */
  start(): void {
    this.#session.send({ type: 'response.created', response: this.#response('in_progress', null, []) });
    this.#timer = setTimeout(() => this.#begin(), this.#manner.thinkMs);
  }

  /** Ends it early, with its item incomplete. */
  cancel(reason: CancelReason): void {
    this.#finish('cancelled', 'incomplete', { type: 'cancelled', reason });
  }

  /** Stops its timers, and sends nothing. */
  drop(): void {
    clearTimeout(this.#timer);
    for (const item of this.#items) item.drop();
  }

  #begin(): void {
    const { words } = this.#options.output;
    if (words === undefined) return this.#callTool();
    const spoken = this.#add(new SpokenItem(this.#session, words, this.#nextIds()));
    spoken.speak(this.#manner.pace, () => this.#callTool());
  }

  /** Calls the tool, if there is one, and ends. */
  #callTool(): void {
    const { call } = this.#options.output;
    if (call !== undefined) this.#call = this.#add(new FunctionCall(this.#session, call, this.#nextIds()));
    this.#finish('completed', 'completed', null);
  }

  #nextIds() {
    return { response_id: this.id, output_index: this.#items.length };
  }

  #add<T extends OutputItem>(added: T): T {
    const item = added.wire('in_progress');
    const previous_item_id = this.#options.join(added.item);
    this.#session.send({ type: 'response.output_item.added', ...this.#nextIds(), item });
    this.#session.send({ type: 'conversation.item.added', previous_item_id, item });
    this.#items.push(added);
    added.begin();
    return added;
  }

  #finish(status: ReplyStatus, itemStatus: string, details: JsonObject | null): void {
    clearTimeout(this.#timer);
    // As recorded: a message is done only after the arguments of the call behind it.
    const output = this.#items.map((finished, output_index) => {
      finished.drop();
      finished.finish();
      const item = finished.wire(itemStatus);
      this.#session.send({ type: 'conversation.item.done', previous_item_id: null, item });
      this.#session.send({ type: 'response.output_item.done', response_id: this.id, output_index, item });
      return item;
    });
    this.#session.send({ type: 'response.done', response: this.#response(status, details, output) });
    this.#options.onEnd(status);
  }

  #response(status: string, status_details: JsonObject | null, output: JsonObject[]): JsonObject {
    const { metadata } = this.#options;
    const object = 'realtime.response';
    return { object, id: this.id, status, status_details, output, usage: null, metadata };
  }
}
