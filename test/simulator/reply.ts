import { BYTES_PER_MS } from '../../src/wire/audio.ts';
import type { JsonObject } from '../../src/wire/json.ts';
import type { Manner } from './conversation.ts';
import type { ParrotSession } from './parrot-session.ts';
import { newId } from './session-config.ts';

/** One item of the conversation; `audioMs` is how much of its audio there is so far. */
export interface Item {
  id: string;
  role: 'user' | 'assistant';
  audioMs: number;
}

export interface ReplyOptions {
  /** What to say, in mu-law. */
  words: Uint8Array;
  metadata: unknown;
  /** Adds its item to the conversation, and returns the id of the item before. */
  join: (item: Item) => string | null;
  /** Called after response.done. */
  onEnd: (status: ReplyStatus) => void;
}

/** How a response ends. */
export type ReplyStatus = 'completed' | 'cancelled';

/** How long the first deltas are; all further ones are as long as the last. */
const DELTA_MS = [100, 150, 250];

/** One response being generated: its events in the order and shapes of the recorded ones, until it is done or cancelled. */
export class Reply {
  readonly id = newId('resp');
  readonly item: Item = { id: newId('item'), role: 'assistant', audioMs: 0 };
  readonly #session: ParrotSession;
  readonly #manner: Manner;
  readonly #options: ReplyOptions;
  readonly #part: JsonObject;
  #transcript = '';
  #begun = false;
  #sentBytes = 0;
  #deltas = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(session: ParrotSession, manner: Manner, options: ReplyOptions) {
    this.#session = session;
    this.#manner = manner;
    this.#options = options;
    this.#part = { response_id: this.id, item_id: this.item.id, output_index: 0, content_index: 0 };
  }

  /** Sends response.created, and the rest as time goes by. */
  start(): void {
    this.#session.send({ type: 'response.created', response: this.#response('in_progress', null, []) });
    this.#timer = setTimeout(() => this.#begin(), this.#manner.thinkMs);
  }

  /** Ends it in the middle, with its item incomplete, because the user speaks. */
  cancel(): void {
    this.#finish('cancelled', 'incomplete', { type: 'cancelled', reason: 'turn_detected' });
  }

  /** Says no more and sends nothing, because there is nobody left to send to. */
  drop(): void {
    clearTimeout(this.#timer);
  }

  #begin(): void {
    const item = this.#itemAs('in_progress', []);
    const previous_item_id = this.#options.join(this.item);
    const part = { type: 'audio', transcript: '' };
    this.#begun = true;
    this.#session.send({ type: 'response.output_item.added', response_id: this.id, output_index: 0, item });
    this.#session.send({ type: 'conversation.item.added', previous_item_id, item });
    this.#session.send({ type: 'response.content_part.added', ...this.#part, part });
    this.#write('Squawk');
    this.#speak();
  }

  #speak(): void {
    const { words } = this.#options;
    const ms = DELTA_MS[this.#deltas++] ?? 250;
    const chunk = Buffer.from(words.subarray(this.#sentBytes, this.#sentBytes + ms * BYTES_PER_MS));
    if (chunk.length === 0) {
      this.#finish('completed', 'completed', null);
      return;
    }
    this.#sentBytes += chunk.length;
    this.item.audioMs = Math.floor(this.#sentBytes / BYTES_PER_MS);
    this.#timer = setTimeout(() => this.#speak(), chunk.length / BYTES_PER_MS / this.#manner.pace);
    this.#session.send({
      type: 'response.output_audio.delta',
      ...this.#part,
      delta: chunk.toString('base64'),
    });
    // The transcript runs ahead of the audio.
    if (this.#sentBytes < words.length) this.#write(' squawk');
  }

  #write(delta: string): void {
    this.#transcript += delta;
    this.#session.send({ type: 'response.output_audio_transcript.delta', ...this.#part, delta });
  }

  #finish(status: ReplyStatus, itemStatus: string, details: JsonObject | null): void {
    clearTimeout(this.#timer);
    const transcript = this.#transcript;
    const item = this.#itemAs(itemStatus, [{ type: 'output_audio', transcript }]);
    if (this.#begun) {
      const part = { type: 'audio', transcript };
      this.#session.send({ type: 'response.output_audio.done', ...this.#part });
      this.#session.send({ type: 'response.output_audio_transcript.done', ...this.#part, transcript });
      this.#session.send({ type: 'response.content_part.done', ...this.#part, part });
      this.#session.send({ type: 'conversation.item.done', previous_item_id: null, item });
      this.#session.send({ type: 'response.output_item.done', response_id: this.id, output_index: 0, item });
    }
    const response = this.#response(status, details, this.#begun ? [item] : []);
    this.#session.send({ type: 'response.done', response });
    this.#options.onEnd(status);
  }

  #itemAs(status: string, content: JsonObject[]): JsonObject {
    return { id: this.item.id, type: 'message', status, role: 'assistant', content };
  }

  #response(status: string, status_details: JsonObject | null, output: JsonObject[]): JsonObject {
    const { metadata } = this.#options;
    return {
      object: 'realtime.response',
      id: this.id,
      status,
      status_details,
      output,
      usage: null,
      metadata,
    };
  }
}
