import { BYTES_PER_MS } from '../../src/wire/audio.ts';
import { Phone } from '../simulator/phone.ts';
import { expected } from '../support/wire.ts';

const { clear, truncate } = expected;

/**
 * The caller's end of a call: an account of what was heard that owes nothing to `Playback`'s.
 *
 * A message takes `delay` ms each way. Audio and `clear` are equally late, so at the caller's end
 * everything happens as it does here, only later; an echo comes two delays after its audio was heard here.
 */
export class FarEnd {
  readonly #delay: number;
  readonly #phone = new Phone();
  /** What was sent since the last `clear`, in order: so many ms, from where in which item. */
  readonly #sent: { item: string; from: number; ms: number; isLost?: boolean }[] = [];
  /** How many ms were sent of each item. */
  readonly #lengths = new Map<string, number>();
  /** Those that OpenAI was told of, or that are no business of the present session's. */
  readonly #cut = new Set<string>();
  readonly #echoes: { name: string; at: number }[] = [];

  constructor(delay: number) {
    this.#delay = delay;
  }

  /** Takes a delta of an item, and its mark. */
  play(item: string, ms: number, mark: string, now: number): void {
    this.#phone.media(new Uint8Array(ms * BYTES_PER_MS), now);
    this.#phone.mark(mark, now);
    const from = this.#lengths.get(item) ?? 0;
    this.#sent.push({ item, from, ms });
    this.#lengths.set(item, from + ms);
  }

  /** Returns what must be sent for a delta of an item whose response was interrupted. */
  drop(item: string): unknown[] {
    return this.#truncate(item, this.#lengths.get(item) ?? 0);
  }

  /** What was sent so far is never truncated: its session is gone. */
  lose(): void {
    for (const item of this.#lengths.keys()) this.#cut.add(item);
    for (const each of this.#sent) each.isLost = true;
  }

  /** When the next mark is reached or comes back. */
  get nextAt(): number {
    return Math.min(this.#phone.nextMarkAt, this.#echoes[0]?.at ?? Infinity);
  }

  /** The marks that have come back since this was asked for last. */
  echoes(now: number): string[] {
    this.#sendBack(this.#phone.advance(now), now);
    const back = this.#echoes.filter(({ at }) => at <= now);
    return this.#echoes.splice(0, back.length).map(({ name }) => name);
  }

  /** Empties the buffer, whose end is what was sent last; returns what must be sent for that. */
  interrupt(now: number): unknown[] {
    const cuts: unknown[] = [];
    let isUnheard = false;
    const sentMs = this.#sent.reduce((sum, { ms }) => sum + ms, 0);
    let heardMs = sentMs - this.#phone.bufferedMs(now);
    for (const { item, from, ms, isLost } of this.#sent.splice(0)) {
      isUnheard ||= heardMs < ms && (isLost || !this.#cut.has(item));
      if (heardMs < ms) cuts.push(...this.#truncate(item, from + Math.max(0, heardMs)));
      heardMs -= ms;
    }
    this.#sendBack(this.#phone.clear(now), now);
    return isUnheard ? [clear, ...cuts] : [];
  }

  /** Each item is truncated once. */
  #truncate(item: string, ms: number): unknown[] {
    if (this.#cut.has(item)) return [];
    this.#cut.add(item);
    return [truncate(item, ms)];
  }

  #sendBack(marks: { name: string }[], now: number): void {
    for (const { name } of marks) this.#echoes.push({ name, at: now + 2 * this.#delay });
  }
}
