import type { ServerEvent } from '../wire/openai.ts';

/** How much waits at most, in events and in characters of base64: some minutes. */
const MAX_EVENTS = 10_000;
const MAX_AUDIO = 4_000_000;

/** What OpenAI has said before the stream started, in order: it waits for that, as the caller's words do for the session. */
export class Held {
  #events: ServerEvent[] = [];
  #audio = 0;

  /** What is too much is dropped. */
  add(event: ServerEvent): void {
    if (event.type === 'response.output_audio.delta') this.#audio += event.delta.length;
    if (this.#audio <= MAX_AUDIO && this.#events.length < MAX_EVENTS) this.#events.push(event);
  }

  take(): ServerEvent[] {
    const events = this.#events;
    this.#events = [];
    this.#audio = 0;
    return events;
  }
}
