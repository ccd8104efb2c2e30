import type { Clock, Party } from './clock.ts';
import type { Played } from './facts.ts';
import { numbersIn } from './voice.ts';

/** How Twilio plays a stream to the caller: in order, at once when nothing is buffered; it echoes marks. */
export class Playout {
  readonly played: Played[] = [];
  readonly clears: number[] = [];
  readonly #clock: Clock;
  readonly #party: Party;
  readonly #echo: (name: string) => void;
  #marks: string[] = [];
  #ends = 0;
  #isOver = false;

  constructor(clock: Clock, party: Party, echo: (name: string) => void) {
    this.#clock = clock;
    this.#party = party;
    this.#echo = echo;
  }

  media(payload: string, ms: number): void {
    const [session, item, response, offset] = numbersIn(payload);
    const came = this.#clock.now;
    const begins = Math.max(came, this.#ends);
    this.#ends = begins + ms;
    this.played.push({ session, item, response, offset, ms, came, begins, ends: this.#ends });
  }

  mark(name: string): void {
    this.#marks.push(name);
    this.#clock.schedule(this.#ends - this.#clock.now, this.#party, 0, () => {
      if (this.#isOver || this.#marks[0] !== name) return;
      this.#marks.shift();
      this.#echo(name);
    });
  }

  clear(): void {
    this.clears.push(this.#clock.now);
    this.#cut();
    for (const name of this.#marks.splice(0)) this.#echo(name);
  }

  /** The line is gone: nothing more is heard. */
  stop(): void {
    this.#isOver = true;
    this.#cut();
  }

  #cut(): void {
    const { now } = this.#clock;
    this.#ends = Math.min(this.#ends, now);
    for (let index = this.played.length - 1; index >= 0; index--) {
      const each = this.played[index];
      if (each === undefined || each.ends <= now) return;
      each.begins = Math.min(each.begins, now);
      each.ends = now;
    }
  }
}
