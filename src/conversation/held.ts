import type { ServerEvent } from '../wire/openai.ts';

/** The most that waits, in events and in characters: 90 s of audio, which Twilio takes at once. */
const MAX_EVENTS = 10_000;
const MAX_CHARACTERS = 1_000_000;

/** OpenAI's events from before the stream's start, in order. */
export class Held {
  #events: ServerEvent[] = [];
  #characters = 0;

  /** Adds an event, or drops it if there are too many. */
  add(event: ServerEvent): void {
    this.#characters += JSON.stringify(event).length;
    if (this.#characters <= MAX_CHARACTERS && this.#events.length < MAX_EVENTS) this.#events.push(event);
  }

  take(): ServerEvent[] {
    const events = this.#events;
    this.#events = [];
    this.#characters = 0;
    return events;
  }
}
