import { BYTES_PER_MS } from '../../src/wire/audio.ts';
import type { JsonObject } from '../../src/wire/json.ts';
import type { ParrotSession } from './parrot-session.ts';
import type { Item, OutputItem } from './reply.ts';
import { newId } from './session-config.ts';

/** Lengths of the first deltas, in ms. The last is that of all others. */
const DELTA_MS = [100, 150, 250];

/** A spoken message, sent in deltas. */
export class SpokenItem implements OutputItem {
  readonly item: Item = { id: newId('item'), type: 'message', role: 'assistant', audioMs: 0 };
  readonly #session: ParrotSession;
  readonly #words: Uint8Array;
  readonly #part: JsonObject;
  #transcript = '';
  #sentBytes = 0;
  #deltas = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(session: ParrotSession, words: Uint8Array, ids: { response_id: string; output_index: number }) {
    this.#session = session;
    this.#words = words;
    this.#part = { ...ids, item_id: this.item.id, content_index: 0 };
  }

  begin(): void {
    const part = { type: 'audio', transcript: '' };
    this.#session.send({ type: 'response.content_part.added', ...this.#part, part });
    this.#write('Squawk');
  }

  /** Sends all deltas, `pace` times faster than real time, and then calls `onSaid`. */
  speak(pace: number, onSaid: () => void): void {
    const ms = DELTA_MS[this.#deltas++] ?? 250;
    const chunk = Buffer.from(this.#words.subarray(this.#sentBytes, this.#sentBytes + ms * BYTES_PER_MS));
    if (chunk.length === 0) return onSaid();
    this.#sentBytes += chunk.length;
    this.item.audioMs = Math.floor(this.#sentBytes / BYTES_PER_MS);
    this.#timer = setTimeout(() => this.speak(pace, onSaid), chunk.length / BYTES_PER_MS / pace);
    const delta = chunk.toString('base64');
    this.#session.send({ type: 'response.output_audio.delta', ...this.#part, delta });
    // The transcript runs ahead of the audio.
    if (this.#sentBytes < this.#words.length) this.#write(' squawk');
  }

  finish(): void {
    const transcript = this.#transcript;
    const part = { type: 'audio', transcript };
    this.#session.send({ type: 'response.output_audio.done', ...this.#part });
    this.#session.send({ type: 'response.output_audio_transcript.done', ...this.#part, transcript });
    this.#session.send({ type: 'response.content_part.done', ...this.#part, part });
  }

  drop(): void {
    clearTimeout(this.#timer);
  }

  #write(delta: string): void {
    this.#transcript += delta;
    this.#session.send({ type: 'response.output_audio_transcript.delta', ...this.#part, delta });
  }

  wire(status: string): JsonObject {
    const { id, type, role, audioMs } = this.item;
    const content = audioMs === 0 ? [] : [{ type: 'output_audio', transcript: this.#transcript }];
    return { id, type, status, role, content };
  }
}
