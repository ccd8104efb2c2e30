import { BYTES_PER_MS, SILENCE } from '../../src/wire/audio.ts';

/** Audio, and the time in samples at which it begins to be heard. */
interface Audio {
  begin: number;
  payload: Uint8Array;
}

/** A mark, and the time in samples at which all audio before it has been heard. */
interface Mark {
  name: string;
  due: number;
}

/**
 * How Twilio plays one stream to the caller: in order, 8 bytes a millisecond, at once when nothing is buffered.
 * It has no clock: each `at` is in ms since the stream began, to the eighth below, and never goes back.
 */
export class Phone {
  /** Everything heard or buffered. */
  #audio: Audio[] = [];
  /** The sample at which the buffer runs, or ran, empty. */
  #end = 0;
  #marks: Mark[] = [];

  /** Queues audio. */
  media(payload: Uint8Array, at: number): void {
    const begin = Math.max(samples(at), this.#end);
    this.#audio.push({ begin, payload });
    this.#end = begin + payload.length;
  }

  /** Queues a mark; it is due when all audio before it has been played, at once if nothing is buffered. */
  mark(name: string, at: number): void {
    this.#marks.push({ name, due: Math.max(samples(at), this.#end) });
  }

  /** Empties the buffer and returns every mark still out. */
  clear(at: number): Mark[] {
    this.#audio = this.#played(at);
    this.#end = Math.min(this.#end, samples(at));
    return this.#marks.splice(0);
  }

  /** The marks that became due up to `at`, each once, in order. */
  advance(at: number): Mark[] {
    const due = this.#marks.filter((mark) => mark.due <= samples(at));
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
    return this.#played(at).reduce((sum, { payload }) => sum + payload.length, 0) / BYTES_PER_MS;
  }

  /** What the caller has heard since then, or since the stream began, in mu-law, silence included. */
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
