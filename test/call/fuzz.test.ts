import { expect, it } from 'vitest';
import { Call } from '../../src/call/call.ts';
import type { Effect } from '../../src/call/effect.ts';
import { seeded } from '../support/random.ts';
import {
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

const { clear, truncate } = expected;

/**
 * Twilio and the caller's ear, a millisecond at a time: an independent account of what `Playback` reckons.
 *
 * A message takes `delay` ms each way. Audio and `clear` are equally late, so at the caller's end
 * everything happens as it does here, only later; an echo comes two delays after its audio was heard here.
 */
class Ear {
  readonly delay: number;
  /** What is to be heard: an item for each ms, and a mark between two of them. */
  readonly queue: ({ item: string } | { mark: string })[] = [];
  readonly heard = new Map<string, number>();
  readonly echoes: { mark: string; at: number }[] = [];

  constructor(delay: number) {
    this.delay = delay;
  }

  send(item: string, ms: number, mark: string): void {
    for (let n = 0; n < ms; n++) this.queue.push({ item });
    this.queue.push({ mark });
    if (!this.heard.has(item)) this.heard.set(item, 0);
  }

  /** One ms passes; marks that are reached go back. */
  tick(now: number): void {
    this.#reachMarks(now);
    const next = this.queue.shift();
    if (next === undefined || 'mark' in next) return;
    this.heard.set(next.item, (this.heard.get(next.item) ?? 0) + 1);
    this.#reachMarks(now + 1);
  }

  #reachMarks(now: number): void {
    for (let next = this.queue[0]; next !== undefined && 'mark' in next; next = this.queue[0]) {
      this.echoes.push({ mark: next.mark, at: now + 2 * this.delay });
      this.queue.shift();
    }
  }

  /** Empties the queue; answers what must be sent for it. */
  interrupt(now: number): unknown[] {
    const unheard = new Set<string>();
    for (const entry of this.queue.splice(0)) {
      if ('item' in entry) unheard.add(entry.item);
      else this.echoes.push({ mark: entry.mark, at: now + 2 * this.delay });
    }
    if (unheard.size === 0) return [];
    return [clear, ...[...unheard].map((item) => truncate(item, this.heard.get(item) ?? 0))];
  }
}

/** The name of the mark that `effect` sends. */
function markIn(effect: Effect | undefined): string {
  if (effect === undefined || 'end' in effect || effect.to !== 'twilio' || effect.message.event !== 'mark') {
    throw new Error('no mark after the audio');
  }
  return effect.message.mark.name;
}

function conversation(seed: number): void {
  const random = seeded(seed);
  const upTo = (most: number) => Math.floor(random() * (most + 1));
  const ear = new Ear(upTo(60));
  const call = new Call(STREAM, '', 0);
  call.sessionReady(0);
  const marks = new Set<string>();
  const interrupted: string[] = [];
  let now = 0;
  let muted = false;
  let responses = 0;
  let items = 0;
  let response: string | undefined;

  function pass(ms: number): void {
    for (const until = now + ms; now < until; ) {
      ear.tick(now);
      now += 1;
      if (!muted && now % 20 === 0) call.fromTwilio(frame(now), now);
      for (let next = ear.echoes[0]; next && next.at <= now; next = ear.echoes[0]) {
        ear.echoes.shift();
        expect(call.fromTwilio(echo(next.mark), now)).toEqual([]);
      }
    }
  }

  function say(id: string, ms: number): Effect[] {
    return call.fromOpenAI(delta(id, `item-${items}`, ms), now);
  }

  for (let step = 0; step < 40; step++) {
    switch (upTo(8)) {
      case 0:
        muted = !muted;
        break;
      case 1:
        if (response !== undefined) call.fromOpenAI(done(response), now);
        responses += 1;
        items += 1;
        response = `response-${responses}`;
        call.fromOpenAI(created(response), now);
        break;
      case 2:
        items += 1;
        break;
      case 3:
        if (response !== undefined) call.fromOpenAI(done(response), now);
        response = undefined;
        break;
      case 4: {
        const late = interrupted[upTo(interrupted.length - 1)];
        if (late !== undefined) expect(say(late, 100)).toEqual([]);
        break;
      }
      case 5:
        expect(call.fromOpenAI(speechStarted, now)).toEqual(ear.interrupt(now));
        if (response !== undefined) interrupted.push(response);
        response = undefined;
        call.fromOpenAI(speechStopped, now);
        break;
      default:
        if (response !== undefined) {
          const ms = 20 * (1 + upTo(20));
          const [media, mark] = say(response, ms);
          expect(media).toMatchObject({ to: 'twilio', message: { event: 'media', streamSid: STREAM } });
          const name = markIn(mark);
          expect(marks).not.toContain(name);
          marks.add(name);
          ear.send(`item-${items}`, ms, name);
        }
    }
    pass(random() < 0.3 ? 0 : upTo(400));
  }
}

it('keeps to the playback rules in 10,000 random conversations', { timeout: 60_000 }, () => {
  for (let seed = 1; seed <= 10_000; seed++) {
    try {
      conversation(seed);
    } catch (error) {
      throw new Error(`conversation ${seed}`, { cause: error });
    }
  }
});
