import { dropOldest } from './drop-oldest.ts';

/** A delta that was sent to Twilio and whose mark hasn't come back. */
interface Chunk {
  itemId: string;
  /** Where in its item it starts, and how long it is, in ms. */
  offset: number;
  ms: number;
  sentAt: number;
}

/** Where the caller stopped hearing an item, which may be one of a lost session. */
export interface Cut {
  item_id: string;
  audio_end_ms: number;
  isLost: boolean;
}

/** An item that had audio: how much was sent, and whether OpenAI was told of a cut, or has lost it with its session. */
interface Item {
  ms: number;
  isCut: boolean;
  isLost: boolean;
}

/** Echoes vary by the network's jitter; one that is later than that was played later. */
const JITTER_MS = 100;
/** A mark this long overdue is not coming. */
const LOST_MS = 10_000;
/** How many items are remembered: late audio can only come for the last few. */
const MAX_ITEMS = 100;
/** How much may be on its way to the caller, in deltas and in ms. */
const MAX_CHUNKS = 10_000;
const MAX_BUFFERED_MS = 590_000;

/**
 * What the caller has heard of what was sent, by dead reckoning corrected by marks.
 *
 * Twilio plays in order, each chunk when it arrives or when all before it has ended. With a network delay of 30 ms:
 *
 *     1000  400 ms of audio are sent, and reckoned to begin       (Twilio has it at 1030, and plays it)
 *     1250  if the caller cuts in now, 250 ms were heard           (Twilio has the `clear` at 1280: 250 ms played)
 *     1400  otherwise it is reckoned to end                        (it ends at 1430)
 *     1460  its mark is back on time: one round trip after its end
 *
 * So the delay cancels out, by the clock of the caller's stream.
 */
export class Playback {
  readonly #clock: (now: number) => number;
  /** The oldest first. */
  #chunks: Chunk[] = [];
  /** When the first chunk begins; the others begin when it, or what is before them, has ended. */
  #headBegins = 0;
  /** The last items, the oldest first. */
  readonly #items = new Map<string, Item>();
  /** How many marks were named: the last `#chunks.length` of them are those of the chunks. */
  #marks = 0;
  /** The quickest echo so far after the end that was reckoned; unknown until there was one. */
  #roundTrip: number | undefined;

  /** `clock` returns the time of the caller's stream, in ms. */
  constructor(clock: (now: number) => number) {
    this.#clock = clock;
  }

  /** The session is gone: the next one knows none of its items, though they are still heard. */
  sessionLost(): void {
    for (const item of this.#items.values()) item.isLost = true;
  }

  /** Whether nothing more may be sent before some of it was heard: Twilio holds 10 minutes (31931), and we what it holds. */
  isFull(now: number): boolean {
    return this.#chunks.length >= MAX_CHUNKS || this.lateMs(now) < -MAX_BUFFERED_MS;
  }

  /** Notes a delta that is sent now; returns the name of the mark that must follow it. */
  sent(itemId: string, ms: number, now: number): string {
    const clock = this.#clock(now);
    while (this.#head !== undefined && this.#headEnds + LOST_MS < clock) this.#drop();
    if (this.#head === undefined) this.#headBegins = clock;
    const item = this.#item(itemId);
    this.#marks += 1;
    this.#chunks.push({ itemId, offset: item.ms, ms, sentAt: clock });
    item.ms += ms;
    return `audio-${this.#marks}`;
  }

  /** Notes a mark that came back: what it follows was heard, unless a `clear` sent it back. */
  echoed(mark: string, now: number): void {
    const clock = this.#clock(now);
    const number = Number(/^audio-(?<number>\d+)$/.exec(mark)?.groups?.number);
    const index = this.#chunks.length - 1 - (this.#marks - number);
    if (!(index >= 0 && index < this.#chunks.length)) return;
    for (let before = index; before > 0; before -= 1) this.#drop();
    const late = clock - this.#headEnds;
    if (late >= 0) this.#roundTrip = Math.min(late, this.#roundTrip ?? late);
    if (this.#isOverdue(late)) this.#headBegins += late - (this.#roundTrip ?? 0);
    // Early or not, it has ended: what follows has begun, if it was there.
    else if (late < 0) this.#headBegins += late;
    this.#drop();
  }

  /** Notes audio that isn't sent; returns where the caller stopped in its item, unless that was told before. */
  dropped(itemId: string): Cut[] {
    // An interruption leaves nothing unheard of an item but what it cuts.
    return this.#cut(itemId, this.#item(itemId).ms);
  }

  /** Whether the caller has heard all that was sent, as marks or an interruption tell. */
  get isHeard(): boolean {
    return this.#head === undefined;
  }

  /** How long ago all that was sent should have been heard, in ms; negative while it plays. */
  lateMs(now: number): number {
    let ends = this.#headBegins;
    for (const { ms, sentAt } of this.#chunks) ends = Math.max(ends, sentAt) + ms;
    return this.#clock(now) - ends;
  }

  /** Forgets all that is unheard; returns where the caller stopped in each item of it, in order. */
  interrupt(now: number): Cut[] {
    const clock = this.#clock(now);
    const cuts: Cut[] = [];
    const late = clock - this.#headEnds;
    // The first mark still out is long overdue: Twilio is playing its audio, and has a ms of it left at least.
    let begins = this.#isOverdue(late) ? this.#headBegins + late + 1 : this.#headBegins;
    for (const { itemId, offset, ms, sentAt } of this.#chunks) {
      begins = Math.max(begins, sentAt);
      if (clock < begins + ms) cuts.push(...this.#cut(itemId, offset + Math.max(0, clock - begins)));
      begins += ms;
    }
    this.#chunks = [];
    return cuts;
  }

  #cut(item_id: string, heardMs: number): Cut[] {
    const item = this.#item(item_id);
    if (item.isCut) return [];
    item.isCut = true;
    return [{ item_id, audio_end_ms: Math.floor(heardMs), isLost: item.isLost }];
  }

  #item(id: string): Item {
    const item = this.#items.get(id) ?? { ms: 0, isCut: false, isLost: false };
    this.#items.set(id, item);
    dropOldest(this.#items, MAX_ITEMS);
    return item;
  }

  /** The first chunk whose mark is still out. */
  get #head(): Chunk | undefined {
    return this.#chunks[0];
  }

  get #headEnds(): number {
    return this.#headBegins + (this.#head?.ms ?? 0);
  }

  /** Whether a mark this late says that Twilio plays later than reckoned. */
  #isOverdue(late: number): boolean {
    return this.#roundTrip !== undefined && late > this.#roundTrip + JITTER_MS;
  }

  #drop(): void {
    const ends = this.#headEnds;
    this.#chunks.shift();
    this.#headBegins = Math.max(ends, this.#head?.sentAt ?? 0);
  }
}
