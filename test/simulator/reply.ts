import { BYTES_PER_MS } from '../../src/wire/audio.ts';
import type { JsonObject } from '../../src/wire/json.ts';
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
  /** From response.created to the first audio. */
  thinkMs: number;
  /** Times real time. */
  pace: number;
  /** The session's output format. */
  format: string;
  send: (event: JsonObject) => void;
  /** Called when its item joins the conversation; returns the id of the item before. */
  onItem: (item: Item) => string | null;
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
  readonly #options: ReplyOptions;
  readonly #part: JsonObject;
  #transcript = '';
  #begun = false;
  #sentBytes = 0;
  #deltas = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ReplyOptions) {
    this.#options = options;
    this.#part = { response_id: this.id, item_id: this.item.id, output_index: 0, content_index: 0 };
  }

  /** Sends response.created, and the rest as time goes by. */
  start(): void {
    const { send, thinkMs } = this.#options;
    send({ type: 'response.created', response: this.#response('in_progress', null) });
    this.#timer = setTimeout(() => {
      this.#begin();
      this.#timer = setTimeout(() => this.#speak(), thinkMs * 0.2);
    }, thinkMs * 0.8);
  }

  /** Ends it in the middle, with its item incomplete. */
  cancel(reason: 'turn_detected' | 'client_cancelled'): void {
    this.#finish('cancelled', { type: 'cancelled', reason });
  }

  /** Says no more and sends nothing, because there is nobody left to send to. */
  drop(): void {
    clearTimeout(this.#timer);
  }

  #begin(): void {
    const { send, onItem } = this.#options;
    const item = this.#itemAs('in_progress');
    const previous_item_id = onItem(this.item);
    this.#begun = true;
    send({ type: 'response.output_item.added', response_id: this.id, output_index: 0, item });
    send({ type: 'conversation.item.added', previous_item_id, item });
    send({ type: 'response.content_part.added', ...this.#part, part: { type: 'audio', transcript: '' } });
    this.#write('Squawk');
  }

  #speak(): void {
    const { words, pace, send, format } = this.#options;
    const ms = DELTA_MS[this.#deltas++] ?? 250;
    const chunk = Buffer.from(words.subarray(this.#sentBytes, this.#sentBytes + ms * BYTES_PER_MS));
    if (chunk.length === 0) {
      this.#finish('completed', null);
      return;
    }
    // Without audio/pcmu there is only PCM to send: silence, 24,000 16-bit samples a second.
    const audio = format === 'audio/pcmu' ? chunk : Buffer.alloc(chunk.length * 6);
    this.#sentBytes += chunk.length;
    this.item.audioMs = Math.floor(this.#sentBytes / BYTES_PER_MS);
    this.#timer = setTimeout(() => this.#speak(), chunk.length / BYTES_PER_MS / pace);
    send({ type: 'response.output_audio.delta', ...this.#part, delta: audio.toString('base64') });
    // The transcript runs ahead of the audio.
    if (this.#sentBytes < words.length) this.#write(' squawk');
  }

  #write(delta: string): void {
    this.#transcript += delta;
    this.#options.send({ type: 'response.output_audio_transcript.delta', ...this.#part, delta });
  }

  #finish(status: ReplyStatus, details: JsonObject | null): void {
    const { send, onEnd } = this.#options;
    clearTimeout(this.#timer);
    if (this.#begun) {
      const item = this.#itemAs(status === 'completed' ? 'completed' : 'incomplete');
      const transcript = this.#transcript;
      send({ type: 'response.output_audio.done', ...this.#part });
      send({ type: 'response.output_audio_transcript.done', ...this.#part, transcript });
      send({ type: 'response.content_part.done', ...this.#part, part: { type: 'audio', transcript } });
      send({ type: 'conversation.item.done', previous_item_id: null, item });
      send({ type: 'response.output_item.done', response_id: this.id, output_index: 0, item });
    }
    send({ type: 'response.done', response: this.#response(status, details) });
    onEnd(status);
  }

  #itemAs(status: 'in_progress' | 'completed' | 'incomplete'): JsonObject {
    const content = status === 'in_progress' ? [] : [{ type: 'output_audio', transcript: this.#transcript }];
    return { id: this.item.id, type: 'message', status, role: 'assistant', content };
  }

  #response(status: ReplyStatus | 'in_progress', status_details: JsonObject | null): JsonObject {
    const item = this.#itemAs(status === 'completed' ? 'completed' : 'incomplete');
    // Audio is billed by the token of 50 ms.
    const audio_tokens = Math.ceil(this.item.audioMs / 50);
    const output_token_details = { text_tokens: 0, audio_tokens };
    return {
      object: 'realtime.response',
      id: this.id,
      status,
      status_details,
      output: this.#begun ? [item] : [],
      usage:
        status === 'in_progress'
          ? null
          : {
              total_tokens: audio_tokens,
              input_tokens: 0,
              output_tokens: audio_tokens,
              output_token_details,
            },
      metadata: this.#options.metadata,
    };
  }
}
