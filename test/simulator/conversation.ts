import { BYTES_PER_MS } from '../../src/wire/audio.ts';
import { isObject, type JsonObject } from '../../src/wire/json.ts';
import { type Item, Reply, type ReplyStatus } from './reply.ts';
import { type ApiError, checkResponse, newId, type SessionConfig } from './session-config.ts';

/** What happens in a session, for whoever watches; all times are of audio, in ms. */
export type ParrotEvent =
  | { type: 'session-ready' }
  | { type: 'speech-started'; audioStartMs: number }
  | { type: 'speech-stopped'; audioEndMs: number; turnMs: number }
  | { type: 'reply-started'; itemId: string; ms: number }
  | { type: 'reply-done'; itemId: string; ms: number }
  | { type: 'reply-failed' }
  | { type: 'reply-cancelled'; itemId: string; sentMs: number }
  | { type: 'truncated'; itemId: string; audioEndMs: number }
  | { type: 'error'; code: string; message: string }
  | { type: 'closed'; code: number };

/** How a parrot behaves: what it says when nobody has spoken yet, and its pace and delays in ms. */
export interface Manner {
  greeting: Uint8Array;
  /** Sizes of the deltas, of which the last repeats. */
  deltaMs: readonly number[];
  /** How many times faster than real time the deltas come. */
  pace: number;
  /** From session.update to session.updated. */
  updateMs: number;
  /** From response.created to the first audio. */
  thinkMs: number;
}

/** The session that a conversation is held in. */
export interface Host {
  readonly config: SessionConfig;
  send(event: JsonObject): void;
  later(ms: number, action: () => void): void;
  report(event: ParrotEvent): void;
}

const RATE_LIMITS_MS = 35;
const TRUNCATED_MS = 200;

/** What was said by both sides, and the one response at most that is being generated. */
export class Conversation {
  /** In order, by id. */
  readonly items = new Map<string, Item>();
  /** The truncations that were accepted, in order. */
  readonly truncations: { itemId: string; audioEndMs: number }[] = [];
  readonly #id = newId('conv');
  readonly #host: Host;
  readonly #manner: Manner;
  #lastItemId: string | null = null;
  #lastWords: Uint8Array | undefined;
  #heardMs = 0;
  #reply: Reply | undefined;
  #answerNext: Uint8Array | undefined;
  #unconfirmed: JsonObject[] = [];
  #failuresLeft = 0;
  #failure = { code: '', message: '' };

  constructor(host: Host, manner: Manner) {
    this.#host = host;
    this.#manner = manner;
  }

  /** Makes the next `times` responses fail. */
  failReplies(times: number, error: { code: string; message: string }): void {
    this.#failuresLeft = times;
    this.#failure = error;
  }

  /** Whether the assistant's voice has been heard. */
  get hasSpoken(): boolean {
    return [...this.items.values()].some(({ role, audioMs }) => role === 'assistant' && audioMs > 0);
  }

  /** Takes the user's turn in; truncations are confirmed only after the turn that interrupted. */
  addTurn(id: string, words: Uint8Array): void {
    const audioMs = words.length / BYTES_PER_MS;
    const content = [{ type: 'input_audio', transcript: null }];
    this.#lastWords = words;
    this.#heardMs += audioMs;
    this.#host.send({
      type: 'input_audio_buffer.committed',
      previous_item_id: this.#lastItemId,
      item_id: id,
    });
    this.#addItem({ id, role: 'user', audioMs }, { type: 'message', role: 'user', content });
    this.#confirmTruncations();
  }

  /** Obeys conversation.item.create. */
  createItem(item: unknown): ApiError | undefined {
    if (!isObject(item) || typeof item.type !== 'string') {
      const message = "Missing required parameter: 'item.type'.";
      return { code: 'missing_required_parameter', message, param: 'item.type' };
    }
    const id = typeof item.id === 'string' ? item.id : newId('item');
    this.#addItem({ id, role: item.role === 'assistant' ? 'assistant' : 'user', audioMs: 0 }, item);
    return undefined;
  }

  /** Obeys conversation.item.truncate, and confirms it late, as the real one does: soon only if nobody is `speaking`. */
  truncate({ item_id, content_index, audio_end_ms }: JsonObject, speaking: boolean): ApiError | undefined {
    const item = typeof item_id === 'string' ? this.items.get(item_id) : undefined;
    if (typeof audio_end_ms !== 'number' || !Number.isInteger(audio_end_ms) || audio_end_ms < 0) {
      const message = "Invalid type for 'audio_end_ms': expected a whole number.";
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
    this.#host.report({ type: 'truncated', itemId: item.id, audioEndMs: audio_end_ms });
    if (!speaking) this.#host.later(TRUNCATED_MS, () => this.#confirmTruncations());
    return undefined;
  }

  /** Obeys response.create: says the caller's last words again, or the greeting. */
  createResponse(response: unknown = {}): ApiError | undefined {
    const error = checkResponse(response, 'response');
    if (error !== undefined) return error;
    if (this.#reply !== undefined) {
      const message = `Conversation already has an active response in progress: ${this.#reply.id}. Wait until the response is finished before creating a new one.`;
      return { code: 'conversation_already_has_active_response', message };
    }
    this.answer(this.#lastWords ?? this.#manner.greeting, isObject(response) ? response.metadata : null);
    return undefined;
  }

  /** Starts to say `words`, as soon as the response before has ended. */
  answer(words: Uint8Array, metadata: unknown = null): void {
    if (this.#reply !== undefined) {
      this.#answerNext = words;
      return;
    }
    const reply = new Reply({
      words,
      metadata,
      thinkMs: this.#manner.thinkMs,
      deltaMs: this.#manner.deltaMs,
      pace: this.#manner.pace,
      output: this.#host.config.audio.output,
      conversationId: this.#id,
      heardMs: this.#heardMs,
      send: (event) => this.#host.send(event),
      onItem: (item) => this.#joinItem(item),
      onEnd: (status) => this.#afterReply(reply, status),
    });
    this.#reply = reply;
    if (this.#failuresLeft > 0) {
      this.#failuresLeft -= 1;
      reply.fail(this.#failure);
    } else {
      this.#host.report({ type: 'reply-started', itemId: reply.item.id, ms: words.length / BYTES_PER_MS });
      reply.start();
    }
  }

  /** Cancels the response that is being generated; false if there is none. */
  cancel(reason: 'turn_detected' | 'client_cancelled'): boolean {
    const reply = this.#reply;
    reply?.cancel(reason);
    return reply !== undefined;
  }

  /** Ends everything without a word. */
  end(): void {
    this.#reply?.drop();
  }

  #addItem(item: Item, shape: JsonObject): void {
    const previous_item_id = this.#joinItem(item);
    const event = { previous_item_id, item: { status: 'completed', ...shape, id: item.id } };
    this.#host.send({ type: 'conversation.item.added', ...event });
    this.#host.send({ type: 'conversation.item.done', ...event });
  }

  #joinItem(item: Item): string | null {
    const previous = this.#lastItemId;
    this.items.set(item.id, item);
    this.#lastItemId = item.id;
    return previous;
  }

  #confirmTruncations(): void {
    for (const truncation of this.#unconfirmed) {
      this.#host.send({ type: 'conversation.item.truncated', ...truncation });
    }
    this.#unconfirmed = [];
  }

  #afterReply({ item }: Reply, status: ReplyStatus): void {
    const next = this.#answerNext;
    this.#reply = undefined;
    this.#answerNext = undefined;
    if (status === 'completed') {
      this.#host.report({ type: 'reply-done', itemId: item.id, ms: item.audioMs });
      this.#host.later(RATE_LIMITS_MS, () => this.#sendRateLimits());
    } else if (status === 'cancelled') {
      this.#host.report({ type: 'reply-cancelled', itemId: item.id, sentMs: item.audioMs });
    } else {
      this.#host.report({ type: 'reply-failed' });
    }
    if (next !== undefined) this.answer(next);
  }

  #sendRateLimits(): void {
    const tokens = { name: 'tokens', limit: 15_000_000, remaining: 14_999_371, reset_seconds: 0.002 };
    this.#host.send({ type: 'rate_limits.updated', rate_limits: [tokens] });
  }
}
