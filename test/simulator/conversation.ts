import { BYTES_PER_MS } from '../../src/wire/audio.ts';
import { isObject, type JsonObject } from '../../src/wire/json.ts';
import { type ClientItem, digitsIn, findCancelFault, readItem } from './client-event.ts';
import type { ParrotSession } from './parrot-session.ts';
import { type Item, type Output, Reply, type ReplyStatus, type ToolCall } from './reply.ts';
import { newId } from './session-config.ts';
import type { ApiError } from './shape.ts';

/** An event of a session. Times are lengths of audio, in ms; that of `tool-answered` is the tool's. */
export type ParrotEvent =
  | { type: 'session-ready'; instructions: string; tools: string[] }
  | { type: 'told'; text: string }
  | { type: 'speech-started' }
  | { type: 'speech-stopped'; turnMs: number }
  | { type: 'reply-started' }
  | { type: 'reply-done'; ms: number }
  | { type: 'truncated'; audioEndMs: number }
  | { type: 'keys-heard'; digits: string }
  | { type: 'tool-called'; name: string; args: object }
  | { type: 'tool-answered'; name: string; ms: number; output: string }
  | { type: 'error'; message: string }
  | { type: 'closed'; code: number };

/** The tool that certain keys have the parrot call, if the session has it. */
export interface KeyMeaning extends ToolCall {
  /** Words before the call, in the same response. */
  says?: Uint8Array;
  /** The answer once the output has come; the greeting by default. */
  answer?: Uint8Array;
}

/** A parrot's behaviour; delays are in ms. */
export interface Manner {
  greeting: Uint8Array;
  /** By the digits, such as `12`. Any other number calls the session's tool of that number, without arguments. */
  onKeys: Record<string, KeyMeaning>;
  /** The tool to call instead of repeating the user's first words. */
  onFirstTurn?: ToolCall | undefined;
  /** The audio's speed, as a multiple of real time. */
  pace: number;
  /** From session.update to session.updated. */
  updateMs: number;
  /** From response.created to the first audio. */
  thinkMs: number;
}

/** What the next response will be. */
type Next = Output & { call?: KeyMeaning };

const RATE_LIMITS_MS = 35;

/** The items of a session, and its active response. */
export class Conversation {
  readonly items: Item[] = [];
  /** The truncations that were accepted, in order. */
  readonly truncations: { itemId: string; audioEndMs: number }[] = [];
  readonly #session: ParrotSession;
  readonly #manner: Manner;
  /** The user's last words, or the greeting. */
  #words: Uint8Array;
  #next: Next;
  /** A tool to call in place of the next response. */
  #due: ToolCall | undefined;
  /** Calls without their output, by call_id. */
  readonly #calls = new Map<string, { meaning: KeyMeaning; at: number }>();
  #reply: Reply | undefined;
  #unconfirmed: JsonObject[] = [];

  constructor(session: ParrotSession, manner: Manner) {
    this.#session = session;
    this.#manner = manner;
    this.#words = manner.greeting;
    this.#next = { words: this.#words };
  }

  /** Whether a call has begun: a standby session has no items. */
  get hasBegun(): boolean {
    return this.items.length > 0 || this.#reply !== undefined;
  }

  /** Whether the assistant's voice has been heard. */
  get hasSpoken(): boolean {
    return this.items.some(({ role, audioMs }) => role === 'assistant' && audioMs > 0);
  }

  /** Calls a tool in a response of its own, after the active one. */
  callTool(call: ToolCall): void {
    if (!this.#has(call.tool)) return;
    this.#due = call;
    if (this.#reply === undefined) this.createResponse();
  }

  /** Adds the user's turn, and later its transcription if the session asks for one. */
  addTurn(id: string, words: Uint8Array): void {
    const audioMs = words.length / BYTES_PER_MS;
    const { onFirstTurn } = this.#manner;
    const isFirst = !this.items.some((item) => item.role === 'user' && item.audioMs > 0);
    if (isFirst && onFirstTurn !== undefined && this.#has(onFirstTurn.tool)) this.#due = onFirstTurn;
    const previous_item_id = this.items.at(-1)?.id ?? null;
    const content = [{ type: 'input_audio', transcript: null }];
    this.#words = words;
    this.#next = { words };
    this.#session.send({ type: 'input_audio_buffer.committed', previous_item_id, item_id: id });
    this.#add(
      { id, type: 'message', role: 'user', audioMs },
      { id, type: 'message', status: 'completed', role: 'user', content },
    );
    this.#confirmTruncations();
    if (this.#session.config.audio.input.transcription === null) return;
    this.#session.later(this.#manner.thinkMs, () => {
      const type = 'conversation.item.input_audio_transcription.completed';
      const usage = { type: 'duration', seconds: Math.ceil(audioMs / 1000) };
      this.#session.send({ type, item_id: id, content_index: 0, transcript: 'Squawk squawk', usage });
    });
  }

  /** Handles conversation.item.create. */
  createItem(event: JsonObject): ApiError | undefined {
    const item = readItem(event);
    if ('error' in item) return item.error;
    if (item.type === 'function_call_output') return this.#addOutput(item);
    const { type, role, content } = item;
    const id = newId('item');
    const [{ text }] = content;
    this.#add({ id, type, role, audioMs: 0, text }, { id, type, status: 'completed', role, content });
    const digits = role === 'user' ? digitsIn(text) : undefined;
    if (digits === undefined) this.#session.report({ type: 'told', text });
    if (role === 'user') this.#hearKeys(digits);
    return undefined;
  }

  /** Handles conversation.item.truncate. */
  truncate({ item_id, content_index, audio_end_ms }: JsonObject): ApiError | undefined {
    const item = this.items.find(({ id }) => id === item_id);
    if (typeof audio_end_ms !== 'number' || !Number.isInteger(audio_end_ms) || audio_end_ms < 0) {
      const message = "This parrot takes only a whole number as 'audio_end_ms'.";
      return { code: 'invalid_type', message, param: 'audio_end_ms' };
    }
    if (item?.role !== 'assistant' || item.audioMs === 0 || content_index !== 0) {
      return { code: 'invalid_value', message: 'Only model output audio messages can be truncated' };
    }
    if (audio_end_ms > item.audioMs) {
      const message = `Audio content of ${item.audioMs}ms is already shorter than ${audio_end_ms}ms`;
      return { code: 'invalid_value', message };
    }
    this.truncations.push({ itemId: item.id, audioEndMs: audio_end_ms });
    this.#unconfirmed.push({ item_id, content_index, audio_end_ms });
    this.#session.report({ type: 'truncated', audioEndMs: audio_end_ms });
    return undefined;
  }

  /** Handles response.create: calls the keys' tool, answers its output, or repeats the user's last words. */
  createResponse(response: unknown = {}): ApiError | undefined {
    if (this.#reply !== undefined) {
      const message = `Conversation already has an active response in progress: ${this.#reply.id}. Wait until the response is finished before creating a new one.`;
      return { code: 'conversation_already_has_active_response', message };
    }
    const output: Next = this.#due === undefined ? this.#next : { call: this.#due };
    this.#due = undefined;
    const reply = new Reply(this.#session, this.#manner, {
      output,
      metadata: isObject(response) ? (response.metadata ?? null) : null,
      join: (item) => this.#join(item),
      onEnd: (status) => this.#afterReply(status, reply, output),
    });
    this.#reply = reply;
    if (output.words !== undefined) this.#session.report({ type: 'reply-started' });
    reply.start();
    return undefined;
  }

  /** Handles response.cancel. */
  cancelResponse(event: JsonObject): ApiError | undefined {
    const fault = findCancelFault(event);
    if (fault !== undefined) return fault;
    const { response_id = this.#reply?.id } = event;
    if (this.#reply === undefined || response_id !== this.#reply.id) {
      const message = 'Cancellation failed: no active response found';
      return { code: 'response_cancel_not_active', message };
    }
    this.#reply.cancel('client_cancelled');
    return undefined;
  }

  /** Cancels the active response, because the user speaks. */
  interrupt(): void {
    this.#reply?.cancel('turn_detected');
  }

  /** Drops the active response without an event. */
  end(): void {
    this.#reply?.drop();
  }

  /** Adds an item, and returns the id of the one before. */
  #join(item: Item): string | null {
    const previous = this.items.at(-1)?.id ?? null;
    this.items.push(item);
    return previous;
  }

  /** Adds an item of the client's, with its events; `wire` is the item on the wire. */
  #add(item: Item, wire: JsonObject): void {
    const previous_item_id = this.#join(item);
    this.#session.send({ type: 'conversation.item.added', previous_item_id, item: wire });
    this.#session.send({ type: 'conversation.item.done', previous_item_id, item: wire });
  }

  #addOutput({ type, call_id, output }: Extract<ClientItem, { output: string }>): ApiError | undefined {
    const call = this.#calls.get(call_id);
    if (call === undefined) {
      const message = `Tool call ID '${call_id}' not found in conversation.`;
      return { code: 'invalid_tool_call_id', message };
    }
    this.#calls.delete(call_id);
    const id = newId('item');
    this.#add({ id, type, audioMs: 0, text: output }, { id, type, call_id, output });
    this.#next = { words: call.meaning.answer ?? this.#manner.greeting };
    const ms = performance.now() - call.at;
    this.#session.report({ type: 'tool-answered', name: call.meaning.tool, ms, output });
    return undefined;
  }

  /** Whether the session has a tool; reports it if not. */
  #has(tool: string): boolean {
    const names = this.#session.config.tools.map(({ name }) => name);
    if (names.includes(tool)) return true;
    this.#session.report({
      type: 'error',
      message: `the session has ${names.join(', ') || 'no tools'}, not ${tool}`,
    });
    return false;
  }

  /** Sets the next response by the keys in a user's message. */
  #hearKeys(digits: string | undefined): void {
    this.#confirmTruncations();
    if (digits === undefined) return;
    this.#session.report({ type: 'keys-heard', digits });
    const { tools } = this.#session.config;
    const numbered = tools[Number(digits) - 1];
    const call = this.#manner.onKeys[digits] ?? (numbered && { tool: numbered.name, args: {} });
    const isKnown = tools.some(({ name }) => name === call?.tool);
    this.#next = call !== undefined && isKnown ? { words: call.says, call } : { words: this.#words };
  }

  /** Confirms truncations, which OpenAI does only after the turn that interrupted. */
  #confirmTruncations(): void {
    for (const truncation of this.#unconfirmed.splice(0)) {
      this.#session.send({ type: 'conversation.item.truncated', ...truncation });
    }
  }

  #afterReply(status: ReplyStatus, { audioMs, callId }: Reply, output: Next): void {
    this.#reply = undefined;
    if (status === 'cancelled') return;
    const { words, call } = output;
    if (words !== undefined) this.#session.report({ type: 'reply-done', ms: audioMs });
    if (callId !== undefined && call !== undefined) {
      this.#calls.set(callId, { meaning: call, at: performance.now() });
      // The keys have had their effect, unless newer ones came.
      if (this.#next === output) this.#next = { words: this.#words };
      this.#session.report({ type: 'tool-called', name: call.tool, args: call.args });
    }
    const tokens = { name: 'tokens', limit: 15_000_000, remaining: 14_999_371, reset_seconds: 0.002 };
    this.#session.later(RATE_LIMITS_MS, () => {
      this.#session.send({ type: 'rate_limits.updated', rate_limits: [tokens] });
    });
    if (this.#due !== undefined) this.createResponse();
  }
}
