import { BYTES_PER_MS } from '../../src/wire/audio.ts';
import { isObject, type JsonObject } from '../../src/wire/json.ts';
import type { ParrotSession } from './parrot-session.ts';
import { type Item, Reply, type ReplyStatus } from './reply.ts';
import type { ApiError } from './session-config.ts';

/** What happens in a session, for whoever watches; all times are of audio, in ms. */
export type ParrotEvent =
  | { type: 'session-ready' }
  | { type: 'speech-started' }
  | { type: 'speech-stopped'; turnMs: number }
  | { type: 'reply-started' }
  | { type: 'reply-done'; ms: number }
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

const RATE_LIMITS_MS = 35;

/** What was said by both sides, and the one response at most that is being generated. */
export class Conversation {
  readonly items: Item[] = [];
  /** The truncations that were accepted, in order. */
  readonly truncations: { itemId: string; audioEndMs: number }[] = [];
  readonly #session: ParrotSession;
  readonly #manner: Manner;
  #words: Uint8Array;
  #reply: Reply | undefined;
  #unconfirmed: JsonObject[] = [];

  constructor(session: ParrotSession, manner: Manner) {
    this.#session = session;
    this.#manner = manner;
    this.#words = manner.greeting;
  }

  /** Whether the assistant's voice has been heard. */
  get hasSpoken(): boolean {
    return this.items.some(({ role, audioMs }) => role === 'assistant' && audioMs > 0);
  }

  /** Takes the user's turn in; truncations are confirmed only after the turn that interrupted, as by the real one. */
  addTurn(id: string, words: Uint8Array): void {
    const previous_item_id = this.#join({ id, role: 'user', audioMs: words.length / BYTES_PER_MS });
    const content = [{ type: 'input_audio', transcript: null }];
    const item = { id, type: 'message', status: 'completed', role: 'user', content };
    this.#words = words;
    this.#session.send({ type: 'input_audio_buffer.committed', previous_item_id, item_id: id });
    this.#session.send({ type: 'conversation.item.added', previous_item_id, item });
    this.#session.send({ type: 'conversation.item.done', previous_item_id, item });
    for (const truncation of this.#unconfirmed.splice(0)) {
      this.#session.send({ type: 'conversation.item.truncated', ...truncation });
    }
  }

  /** Obeys conversation.item.truncate. */
  truncate({ item_id, content_index, audio_end_ms }: JsonObject): ApiError | undefined {
    const item = this.items.find(({ id }) => id === item_id);
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
    return undefined;
  }

  /** Obeys response.create: says the user's last words again, or the greeting if there are none. */
  createResponse(response: unknown = {}): ApiError | undefined {
    if (this.#reply !== undefined) {
      const message = `Conversation already has an active response in progress: ${this.#reply.id}. Wait until the response is finished before creating a new one.`;
      return { code: 'conversation_already_has_active_response', message };
    }
    const reply = new Reply(this.#session, this.#manner, {
      words: this.#words,
      metadata: isObject(response) ? (response.metadata ?? null) : null,
      join: (item) => this.#join(item),
      onEnd: (status) => this.#afterReply(status, reply.item),
    });
    this.#reply = reply;
    this.#session.report({ type: 'reply-started' });
    reply.start();
    return undefined;
  }

  /** Cancels the response that is being generated, if there is one, because the user speaks. */
  interrupt(): void {
    this.#reply?.cancel();
  }

  /** Ends everything without a word. */
  end(): void {
    this.#reply?.drop();
  }

  /** Adds an item, and returns the id of the one before. */
  #join(item: Item): string | null {
    const previous = this.items.at(-1)?.id ?? null;
    this.items.push(item);
    return previous;
  }

  #afterReply(status: ReplyStatus, { audioMs }: Item): void {
    this.#reply = undefined;
    if (status === 'cancelled') return;
    this.#session.report({ type: 'reply-done', ms: audioMs });
    const tokens = { name: 'tokens', limit: 15_000_000, remaining: 14_999_371, reset_seconds: 0.002 };
    this.#session.later(RATE_LIMITS_MS, () => {
      this.#session.send({ type: 'rate_limits.updated', rate_limits: [tokens] });
    });
  }
}
