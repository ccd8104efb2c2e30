import { BYTES_PER_MS } from '../../src/wire/audio.ts';
import { isObject, type JsonObject } from '../../src/wire/json.ts';
import { type Item, Reply, type ReplyStatus } from './reply.ts';
import { type ApiError, newId, type SessionConfig } from './session-config.ts';

/** What happens in a session, for whoever watches; all times are of audio, in ms. */
export type ParrotEvent =
  | { type: 'session-ready' }
  | { type: 'speech-started' }
  | { type: 'speech-stopped'; turnMs: number }
  | { type: 'reply-started' }
  | { type: 'reply-done'; ms: number }
  | { type: 'reply-cancelled' }
  | { type: 'truncated'; audioEndMs: number }
  | { type: 'error'; message: string }
  | { type: 'closed'; code: number };

/** How a parrot behaves: what it says when nobody has spoken yet, and its pace and delays in ms. */
export interface Manner {
  greeting: Uint8Array;
  /** How many times faster than real time the audio comes. */
  pace: number;
  /** From session.update to session.updated. */
  updateMs: number;
  /** From response.created to the first audio. */
  thinkMs: number;
}

/** The session that a conversation is held in. */
export interface Session {
  readonly config: SessionConfig;
  /** Sends an event, with an id. */
  send(event: JsonObject): void;
  /** Runs `action` in `ms`, unless the session has ended by then. */
  later(ms: number, action: () => void): void;
  /** Tells whoever watches. */
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
  readonly #session: Session;
  readonly #manner: Manner;
  #lastItemId: string | null = null;
  #words: Uint8Array;
  #reply: Reply | undefined;
  #unconfirmed: JsonObject[] = [];

  constructor(session: Session, manner: Manner) {
    this.#session = session;
    this.#manner = manner;
    this.#words = manner.greeting;
  }

  /** Whether the assistant's voice has been heard. */
  get hasSpoken(): boolean {
    return [...this.items.values()].some(({ role, audioMs }) => role === 'assistant' && audioMs > 0);
  }

  /** Takes the user's turn in; truncations are confirmed only after the turn that interrupted. */
  addTurn(id: string, words: Uint8Array): void {
    this.#words = words;
    this.#session.send({
      type: 'input_audio_buffer.committed',
      previous_item_id: this.#lastItemId,
      item_id: id,
    });
    const content = [{ type: 'input_audio', transcript: null }];
    this.#addItem(
      { id, role: 'user', audioMs: words.length / BYTES_PER_MS },
      { type: 'message', role: 'user', content },
    );
    this.#confirmTruncations();
  }

  /** Obeys conversation.item.create. */
  createItem(item: unknown): ApiError | undefined {
    if (!isObject(item) || typeof item.type !== 'string') {
      const message = "Missing required parameter: 'item.type'.";
      return { code: 'missing_required_parameter', message, param: 'item.type' };
    }
    this.#addItem({ id: newId('item'), role: 'user', audioMs: 0 }, item);
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
    this.#session.report({ type: 'truncated', audioEndMs: audio_end_ms });
    if (!speaking) this.#session.later(TRUNCATED_MS, () => this.#confirmTruncations());
    return undefined;
  }

  /** Obeys response.create: says the user's last words again, or the greeting if there are none. */
  createResponse(response: unknown = {}): ApiError | undefined {
    if (this.#reply !== undefined) {
      const message = `Conversation already has an active response in progress: ${this.#reply.id}. Wait until the response is finished before creating a new one.`;
      return { code: 'conversation_already_has_active_response', message };
    }
    const reply = new Reply({
      words: this.#words,
      metadata: isObject(response) ? (response.metadata ?? null) : null,
      thinkMs: this.#manner.thinkMs,
      pace: this.#manner.pace,
      format: this.#session.config.audio.output.format.type,
      send: (event) => this.#session.send(event),
      onItem: (item) => this.#joinItem(item),
      onEnd: (status) => this.#afterReply(reply.item, status),
    });
    this.#reply = reply;
    this.#session.report({ type: 'reply-started' });
    reply.start();
    return undefined;
  }

  /** Obeys response.cancel, which may name the response that it means. */
  cancelResponse(id: unknown): ApiError | undefined {
    if (this.#reply === undefined || (id !== undefined && id !== this.#reply.id)) {
      const message = 'Cancellation failed: no active response found';
      return { code: 'response_cancel_not_active', message };
    }
    this.#reply.cancel('client_cancelled');
    return undefined;
  }

  /** Cancels the response that is being generated, if there is one, because the user speaks. */
  interrupt(): void {
    this.#reply?.cancel('turn_detected');
  }

  /** Ends everything without a word. */
  end(): void {
    this.#reply?.drop();
  }

  #addItem(item: Item, shape: JsonObject): void {
    const previous_item_id = this.#joinItem(item);
    const event = { previous_item_id, item: { status: 'completed', id: item.id, ...shape } };
    this.#session.send({ type: 'conversation.item.added', ...event });
    this.#session.send({ type: 'conversation.item.done', ...event });
  }

  #joinItem(item: Item): string | null {
    const previous = this.#lastItemId;
    this.items.set(item.id, item);
    this.#lastItemId = item.id;
    return previous;
  }

  #confirmTruncations(): void {
    for (const truncation of this.#unconfirmed.splice(0)) {
      this.#session.send({ type: 'conversation.item.truncated', ...truncation });
    }
  }

  #afterReply({ audioMs }: Item, status: ReplyStatus): void {
    this.#reply = undefined;
    if (status === 'cancelled') {
      this.#session.report({ type: 'reply-cancelled' });
      return;
    }
    this.#session.report({ type: 'reply-done', ms: audioMs });
    const tokens = { name: 'tokens', limit: 15_000_000, remaining: 14_999_371, reset_seconds: 0.002 };
    this.#session.later(RATE_LIMITS_MS, () => {
      this.#session.send({ type: 'rate_limits.updated', rate_limits: [tokens] });
    });
  }
}
