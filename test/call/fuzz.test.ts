import { expect, it } from 'vitest';
import { Call } from '../../src/call/call.ts';
import type { Effect } from '../../src/call/effect.ts';
import { BYTES_PER_MS } from '../../src/wire/audio.ts';
import { Phone } from '../simulator/phone.ts';
import { seeded } from '../support/random.ts';
import {
  audio,
  created,
  delta,
  done,
  echo,
  expected,
  frame,
  STREAM,
  speechStarted,
  speechStopped,
} from '../support/wire.ts';

const { clear, mark, media, truncate } = expected;

/**
 * The caller's end of a call: an account of what was heard that owes nothing to `Playback`'s.
 *
 * A message takes `delay` ms each way. Audio and `clear` are equally late, so at the caller's end
 * everything happens as it does here, only later; an echo comes two delays after its audio was heard here.
 */
class FarEnd {
  readonly #delay: number;
  readonly #phone = new Phone();
  /** What was sent since the last `clear`, in order: so many ms, from where in which item. */
  readonly #sent: { item: string; from: number; ms: number }[] = [];
  /** How many ms were sent of each item. */
  readonly #lengths = new Map<string, number>();
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
    const sentMs = this.#sent.reduce((sum, { ms }) => sum + ms, 0);
    let heardMs = sentMs - this.#phone.bufferedMs(now);
    for (const { item, from, ms } of this.#sent.splice(0)) {
      if (heardMs < ms) cuts.push(...this.#truncate(item, from + Math.max(0, heardMs)));
      heardMs -= ms;
    }
    this.#sendBack(this.#phone.clear(now), now);
    return cuts.length === 0 ? [] : [clear, ...cuts];
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

function conversation(seed: number): void {
  const random = seeded(seed);
  const upTo = (most: number) => Math.floor(random() * (most + 1));
  const farEnd = new FarEnd(upTo(60));
  const call = new Call({ streamSid: STREAM, greets: false, turnEndMs: 1_000 }, 0);
  call.sessionReady(0);
  const interrupted: string[] = [];
  const forMarks: Effect[] = [];
  let now = 0;
  let muted = false;
  let responses = 0;
  let marks = 0;
  let response: string | undefined;

  function pass(ms: number): void {
    for (const until = now + ms; now < until; ) {
      now = Math.min(until, now + 20 - (now % 20), Math.max(now, farEnd.nextAt));
      if (!muted && now % 20 === 0) call.fromTwilio(frame(now), now);
      for (const name of farEnd.echoes(now)) forMarks.push(...call.fromTwilio(echo(name), now));
    }
  }

  function say(id: string, item: string, ms: number): Effect[] {
    return call.fromOpenAI(delta(id, item, ms), now);
  }

  /** One of the three items of a response, which take turns in any order. */
  const itemOf = (id: string) => `${id}-${upTo(2)}`;

  for (let step = 0; step < 40; step++) {
    switch (upTo(7)) {
      case 0:
        muted = !muted;
        break;
      case 1:
        if (response !== undefined) call.fromOpenAI(done(response), now);
        responses += 1;
        response = `response-${responses}`;
        call.fromOpenAI(created(response), now);
        break;
      case 2:
        if (response !== undefined) call.fromOpenAI(done(response), now);
        response = undefined;
        break;
      case 3: {
        const late = interrupted[upTo(interrupted.length - 1)];
        if (late === undefined) break;
        const item = itemOf(late);
        expect(say(late, item, 100)).toEqual(farEnd.drop(item));
        break;
      }
      case 4:
        expect(call.fromOpenAI(speechStarted, now)).toEqual(farEnd.interrupt(now));
        if (response !== undefined) interrupted.push(response);
        response = undefined;
        call.fromOpenAI(speechStopped, now);
        break;
      default:
        if (response !== undefined) {
          const ms = 20 * (1 + upTo(20));
          marks += 1;
          const name = `audio-${marks}`;
          const item = itemOf(response);
          expect(say(response, item, ms)).toEqual([media(audio(ms)), mark(name)]);
          farEnd.play(item, ms, name, now);
        }
    }
    pass(random() < 0.3 ? 0 : upTo(400));
  }
  expect(forMarks).toEqual([]);
}

it('10,000 random conversations keep to the playback rules', { timeout: 60_000 }, () => {
  for (let seed = 1; seed <= 10_000; seed++) {
    try {
      conversation(seed);
    } catch (error) {
      throw new Error(`conversation ${seed}`, { cause: error });
    }
  }
});
