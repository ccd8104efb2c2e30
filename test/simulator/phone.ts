import { BYTES_PER_MS, SILENCE } from '../../src/wire/audio.ts';

/** Audio, and when its playout begins, in samples. */
interface Audio {
  begin: number;
  payload: Uint8Array;
}

/** A mark, and when all audio before it has been played, in samples. */
interface Mark {
  name: string;
  due: number;
}

/**
 * Twilio's playout of one stream: in order, 8 bytes a millisecond, at once if nothing is buffered.
 * It has no clock: each `at` is in ms since the stream's start, rounded down to the eighth, and never decreases.
 */
export class Phone {
  /** All audio, played or buffered. */
  #audio: Audio[] = [];
  /** The sample at which the buffer is empty. */
  #end = 0;
  #marks: Mark[] = [];

  media(payload: Uint8Array, at: number): void {
    const begin = Math.max(samples(at), this.#end);
    this.#audio.push({ begin, payload });
    this.#end = begin + payload.length;
  }

  /** Queues a mark; it is due when all audio before it has been played, at once if nothing is buffered. */
  mark(name: string, at: number): void {
    this.#marks.push({ name, due: Math.max(samples(at), this.#end) });
  }

  /** Empties the buffer; returns the pending marks. */
  clear(at: number): Mark[] {
    this.#audio = this.#played(at);
    this.#end = Math.min(this.#end, samples(at));
    return this.#marks.splice(0);
  }

  /** Returns the marks that became due by `at`, each once, in order. */
  advance(at: number): Mark[] {
    const due = this.#marks.filter((mark) => mark.due <= samples(at));
    this.#marks.splice(0, due.length);
    return due;
  }

  /** When the next mark is due; Infinity if none is pending. */
  get nextMarkAt(): number {
    return (this.#marks[0]?.due ?? Infinity) / BYTES_PER_MS;
  }

  playing(at: number): boolean {
    return this.#end > samples(at);
  }

  bufferedMs(at: number): number {
    return Math.max(0, this.#end - samples(at)) / BYTES_PER_MS;
  }

  /** Returns the ms since the last audio ended, or since the stream's start; 0 while playing. */
  silentMs(at: number): number {
    return Math.max(0, samples(at) - this.#end) / BYTES_PER_MS;
  }

  /** Returns the ms of audio that the caller has heard, without the silence between. */
  heardMs(at: number): number {
    return this.#played(at).reduce((sum, { payload }) => sum + payload.length, 0) / BYTES_PER_MS;
  }

  /** Returns what the caller has heard from `since` on, in mu-law, silence included. */
  heard(at: number, since = 0): Uint8Array {
    const from = samples(since);
    const heard = new Uint8Array(samples(at) - from).fill(SILENCE);
    const over = this.#audio.findLastIndex(({ begin, payload }) => begin + payload.length <= from);
    for (const { begin, payload } of this.#audio.slice(over + 1)) {
      const piece = payload.subarray(Math.max(0, from - begin), Math.max(0, samples(at) - begin));
      if (piece.length > 0) heard.set(piece, Math.max(0, begin - from));
    }
    return heard;
  }

  #played(at: number): Audio[] {
    const now = samples(at);
    const begun = this.#audio.filter(({ begin }) => begin < now);
    return begun.map(({ begin, payload }) => ({ begin, payload: payload.subarray(0, now - begin) }));
  }
}

function samples(at: number): number {
  return Math.floor(at * BYTES_PER_MS);
}
