import { BYTES_PER_MS, SILENCE } from '../../src/wire/audio.ts';

/** A mark; it is due when the caller has heard so many samples, silence included. */
interface Mark {
  name: string;
  due: number;
}

/**
 * How Twilio plays one stream to the caller: in order, 8 bytes a millisecond, at once when nothing is buffered.
 * It has no clock: each `at` is in ms since the stream began, to the eighth below, and never goes back.
 */
export class Phone {
  /** Everything heard or buffered, where it is played; the index is the time in samples. */
  #timeline = new Uint8Array(10_000 * BYTES_PER_MS).fill(SILENCE);
  /** The sample at which the buffer runs, or ran, empty. */
  #end = 0;
  #accepted = 0;
  #marks: Mark[] = [];

  /** Queues audio. */
  media(payload: Uint8Array, at: number): void {
    const begin = Math.max(samples(at), this.#end);
    this.#end = begin + payload.length;
    this.#reserve(this.#end);
    this.#timeline.set(payload, begin);
    this.#accepted += payload.length;
  }

  /** Queues a mark; it is due when all audio before it has been played, at once if nothing is buffered. */
  mark(name: string, at: number): void {
    this.#marks.push({ name, due: Math.max(samples(at), this.#end) });
  }

  /** Empties the buffer and returns every mark still out. */
  clear(at: number): Mark[] {
    const now = samples(at);
    if (this.#end > now) {
      this.#timeline.fill(SILENCE, now, this.#end);
      this.#accepted -= this.#end - now;
      this.#end = now;
    }
    return this.#marks.splice(0);
  }

  /** The marks that became due up to `at`, each once, in order. */
  advance(at: number): Mark[] {
    const now = samples(at);
    const due = this.#marks.filter((mark) => mark.due <= now);
    this.#marks.splice(0, due.length);
    return due;
  }

  /** When the next mark is due; never if none is out. */
  get nextMarkAt(): number {
    return (this.#marks[0]?.due ?? Infinity) / BYTES_PER_MS;
  }

  playing(at: number): boolean {
    return this.#end > samples(at);
  }

  /** How many ms of audio the caller has yet to hear. */
  bufferedMs(at: number): number {
    return Math.max(0, this.#end - samples(at)) / BYTES_PER_MS;
  }

  /** How many ms have passed since the last audio ended, or since the stream began; 0 while playing. */
  silentMs(at: number): number {
    return Math.max(0, samples(at) - this.#end) / BYTES_PER_MS;
  }

  /** How many ms of audio the caller has heard in all, the silence between not counted. */
  heardMs(at: number): number {
    return this.#accepted / BYTES_PER_MS - this.bufferedMs(at);
  }

  /** What the caller has heard since the stream began, in mu-law, silence included; a view, not to be written. */
  heard(at: number): Uint8Array {
    const now = samples(at);
    this.#reserve(now);
    return this.#timeline.subarray(0, now);
  }

  #reserve(length: number): void {
    if (length <= this.#timeline.length) return;
    const longer = new Uint8Array(Math.max(length, 2 * this.#timeline.length)).fill(SILENCE);
    longer.set(this.#timeline);
    this.#timeline = longer;
  }
}

function samples(at: number): number {
  return Math.floor(at * BYTES_PER_MS);
}
