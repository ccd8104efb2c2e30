import { describe, expect, it } from 'vitest';
import { Conversation } from '../../src/conversation/conversation.ts';
import type { Effect } from '../../src/conversation/effect.ts';
import { BYTES_PER_MS } from '../../src/wire/audio.ts';
import { Phone } from '../simulator/phone.ts';
import { seeded } from '../support/random.ts';
import { created, delta, done, echo, frame, STREAM, speechStarted, speechStopped } from '../support/wire.ts';

const DELAY_MS = 30;

/** A cut as the relay reported it, and what of that item the caller had heard when the sound stopped, in ms. */
interface Result {
  item: number;
  reported: number;
  heard: number;
  length: number;
}

/** A message that was sent, in order of its arrival. */
interface Underway {
  at: number;
  arrive: () => void;
}

/** A call in simulated time, a ms a step: the relay's `Call`, and Twilio's playout `DELAY_MS` away from it. */
class Simulation {
  muted = false;
  now = 0;
  readonly results: Result[] = [];
  readonly #call = new Conversation(1_000, [], { greets: false }, DELAY_MS);
  readonly #phone = new Phone();
  readonly #toRelay: Underway[] = [];
  readonly #toTwilio: Underway[] = [];
  readonly #lengths: number[] = [];
  readonly #jitter: () => number;

  constructor(jitter: () => number) {
    this.#jitter = jitter;
    this.#call.sessionReady(0);
    this.#call.streamStarted(STREAM, DELAY_MS);
  }

  pass(ms: number): void {
    for (const until = this.now + ms; this.now < until; ) {
      this.now += 1;
      for (const { name } of this.#phone.advance(this.now)) this.#echo(name);
      const stamp = this.now;
      if (stamp % 20 === 0 && !this.muted) {
        this.#later(this.#toRelay, () => this.#send(this.#call.fromTwilio(frame(stamp), this.now)));
      }
      for (const way of [this.#toTwilio, this.#toRelay]) {
        const due = way.filter(({ at }) => at <= this.now);
        for (const { arrive } of way.splice(0, due.length)) arrive();
      }
    }
  }

  /** A reply of some items, each of so many ms, generated 5.5 times as fast as it is played. */
  reply(...items: number[]): void {
    const id = `response-${this.#lengths.length}`;
    this.#send(this.#call.fromOpenAI(created(id), this.now));
    for (const length of items) {
      const item = this.#lengths.push(length);
      for (let sent = 0; sent < length; sent += 400) {
        const ms = Math.min(400, length - sent);
        this.pass(Math.round(ms / 5.5));
        // The byte tells which item the caller hears.
        this.#send(this.#call.fromOpenAI(delta(id, String(item), ms, item), this.now));
      }
    }
    this.#send(this.#call.fromOpenAI(done(id), this.now));
  }

  interrupt(): void {
    this.#send(this.#call.fromOpenAI(speechStarted, this.now));
    this.pass(5 * DELAY_MS);
    this.#call.fromOpenAI(speechStopped, this.now);
  }

  #send(effects: Effect[]): void {
    for (const effect of effects) {
      if (!('to' in effect)) continue;
      const { to, message } = effect;
      if (to === 'twilio') this.#later(this.#toTwilio, () => this.#play(message));
      else if (message.type === 'conversation.item.truncate') {
        const item = Number(message.item_id);
        const length = this.#lengths[item - 1] ?? 0;
        this.results.push({ item, reported: message.audio_end_ms, heard: Number.NaN, length });
      }
    }
  }

  #play(message: Extract<Effect, { to: 'twilio' }>['message']): void {
    if (message.event === 'media') this.#phone.media(Buffer.from(message.media.payload, 'base64'), this.now);
    if (message.event === 'mark') this.#phone.mark(message.mark.name, this.now);
    if (message.event !== 'clear') return;
    for (const { name } of this.#phone.clear(this.now)) this.#echo(name);
    const heard = this.#phone.heard(this.now);
    for (const result of this.results) {
      result.heard = heard.filter((byte) => byte === result.item).length / BYTES_PER_MS;
    }
  }

  #echo(name: string): void {
    this.#later(this.#toRelay, () => this.#send(this.#call.fromTwilio(echo(name), this.now)));
  }

  #later(way: Underway[], arrive: () => void): void {
    // As over TCP, nothing overtakes what was sent before it.
    const at = Math.max(this.now + DELAY_MS + this.#jitter(), way.at(-1)?.at ?? 0);
    way.push({ at, arrive });
  }
}

const random = seeded(2026);
const between = (least: number, most: number) => Math.round(least + random() * (most - least));

const kinds: Record<string, (call: Simulation) => void> = {
  'in a reply': (call) => {
    call.reply(6000);
    call.pass(between(0, 4000));
  },
  'in a later reply, after one that was heard to its end': (call) => {
    call.reply(between(500, 3000));
    call.pass(between(3100, 6000));
    call.reply(6000);
    call.pass(between(0, 4000));
  },
  'in the second item of a reply': (call) => {
    call.reply(1200, 6000);
    call.pass(between(200, 4000));
  },
  'in a reply that began while the caller was muted': (call) => {
    call.pass(between(20, 500));
    call.muted = true;
    call.pass(between(20, 3000));
    call.reply(6000);
    call.pass(between(0, 1500));
    call.muted = false;
    call.pass(between(0, 2000));
  },
};

describe.each([0, 20])(
  '80 barge-ins with 30 ms of network delay each way and up to %i ms of jitter',
  (jitter) => {
    const results = Object.entries(kinds).flatMap(([kind, play]) =>
      Array.from({ length: 20 }, () => {
        const call = new Simulation(() => random() * jitter);
        play(call);
        call.interrupt();
        return { kind, cuts: call.results };
      }),
    );

    it.each(Object.keys(kinds))('A barge-in %s truncates the item that is heard, and no other', (kind) => {
      for (const { cuts } of results.filter((result) => result.kind === kind)) {
        expect(cuts).toHaveLength(1);
        expect(cuts[0]?.length).toBe(6000);
      }
    });

    it('Truncation is off by 15 ms at most in the median, 30 ms at the 95th percentile', () => {
      const errors = results.flatMap(({ cuts }) =>
        cuts.map(({ reported, heard }) => Math.abs(reported - heard)),
      );
      errors.sort((a, b) => a - b);
      expect(errors).toHaveLength(80);
      expect(errors[40]).toBeLessThanOrEqual(15);
      expect(errors[76]).toBeLessThanOrEqual(30);
    });
  },
);
