import { BYTES_PER_MS } from '../../src/wire/audio.ts';
import type { JsonObject } from '../../src/wire/json.ts';
import { newId, type SessionConfig } from './session-config.ts';

/** One item of the conversation; `audioMs` is how much of its audio there is so far. */
export interface Item {
  id: string;
  role: 'user' | 'assistant';
  audioMs: number;
}

export interface ReplyOptions {
  /** What to say, in mu-law. */
  words: Uint8Array;
  output: SessionConfig['audio']['output'];
  conversationId: string;
  metadata: unknown;
  /** How much audio the model heard before, which it is billed for. */
  heardMs: number;
  /** From response.created to the first audio. */
  thinkMs: number;
  /** Sizes of the deltas, of which the last repeats. */
  deltaMs: readonly number[];
  /** Times real time. */
  pace: number;
  send: (event: JsonObject) => void;
  /** Called when its item joins the conversation; returns the id of the item before. */
  onItem: (item: Item) => string | null;
  /** Called after response.done. */
  onEnd: (status: ReplyStatus) => void;
}

/** How a response ends. */
export type ReplyStatus = 'completed' | 'cancelled' | 'failed';

const NO_USAGE = { total_tokens: 0, input_tokens: 0, output_tokens: 0 };

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
    const { thinkMs } = this.#options;
    this.#created();
    this.#timer = setTimeout(() => {
      this.#begin();
      this.#timer = setTimeout(() => this.#speak(), thinkMs * 0.2);
    }, thinkMs * 0.8);
  }

  /** Sends response.created and a failed response.done with nothing between, as for an exhausted quota. */
  fail(error: { code: string; message: string }): void {
    this.#created();
    this.#finish('failed', { type: 'failed', error: { type: 'invalid_request_error', ...error } });
  }

  /** Ends it in the middle, with its item incomplete. */
  cancel(reason: 'turn_detected' | 'client_cancelled'): void {
    this.#finish('cancelled', { type: 'cancelled', reason });
  }

  /** Says no more and sends nothing, because there is nobody left to send to. */
  drop(): void {
    clearTimeout(this.#timer);
  }

  #created(): void {
    this.#options.send({ type: 'response.created', response: this.#response('in_progress', null, null) });
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
    const { words, deltaMs, pace, send, output } = this.#options;
    const ms = deltaMs[Math.min(this.#deltas++, deltaMs.length - 1)] ?? 250;
    const chunk = Buffer.from(words.subarray(this.#sentBytes, this.#sentBytes + ms * BYTES_PER_MS));
    if (chunk.length === 0) {
      this.#finish('completed', null);
      return;
    }
    // Without audio/pcmu there is only PCM to send: silence, 24,000 16-bit samples a second.
    const pcmu = output.format.type === 'audio/pcmu';
    const audio = pcmu ? chunk : Buffer.alloc(chunk.length * 6);
    this.#sentBytes += chunk.length;
    this.item.audioMs = Math.floor(this.#sentBytes / BYTES_PER_MS);
    this.#timer = setTimeout(() => this.#speak(), chunk.length / BYTES_PER_MS / pace);
    send({ type: 'response.output_audio.delta', ...this.#part, delta: audio.toString('base64') });
    // The transcript runs ahead of the audio.
    if (this.#sentBytes < words.length) this.#write(' squawk');
  }

  #write(delta: string): void {
    this.#transcript += delta;
    const obfuscation = newId('').slice(1, 12);
    this.#options.send({ type: 'response.output_audio_transcript.delta', ...this.#part, delta, obfuscation });
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
    send({
      type: 'response.done',
      response: this.#response(status, details, status === 'failed' ? NO_USAGE : this.#usage()),
    });
    onEnd(status);
  }

  #itemAs(status: 'in_progress' | 'completed' | 'incomplete'): JsonObject {
    const content = status === 'in_progress' ? [] : [{ type: 'output_audio', transcript: this.#transcript }];
    return { id: this.item.id, type: 'message', status, role: 'assistant', content };
  }

  #response(status: string, details: JsonObject | null, usage: JsonObject | null): JsonObject {
    const { output, conversationId, metadata } = this.#options;
    const { format, voice } = output;
    const ended = status === 'completed' ? 'completed' : 'incomplete';
    return {
      object: 'realtime.response',
      id: this.id,
      status,
      status_details: details,
      output: this.#begun ? [this.#itemAs(ended)] : [],
      conversation_id: conversationId,
      output_modalities: ['audio'],
      max_output_tokens: 'inf',
      audio: { output: { format, voice } },
      usage,
      metadata: metadata ?? null,
    };
  }

  /** Audio is billed by the token: 100 ms heard or 50 ms said. */
  #usage(): JsonObject {
    const input = { text_tokens: 14, audio_tokens: Math.ceil(this.#options.heardMs / 100), image_tokens: 0 };
    const output = {
      text_tokens: Math.ceil(this.#transcript.length / 4),
      audio_tokens: Math.ceil(this.item.audioMs / 50),
    };
    const input_tokens = input.text_tokens + input.audio_tokens;
    const output_tokens = output.text_tokens + output.audio_tokens;
    return {
      total_tokens: input_tokens + output_tokens,
      input_tokens,
      output_tokens,
      input_token_details: { ...input, cached_tokens: 0 },
      output_token_details: output,
    };
  }
}
