/** The caller's stream as its media timestamps tell it: what time it is there, and what is missing. */
export class Timeline {
  /** What to add to the process's clock to get the stream's. */
  #offset: number;
  /** What to add to a timestamp to get the stream's clock: timestamps may start late, or anew. */
  #origin = 0;
  /** The last frame's timestamp and length, and where the audio ends: there, or later where some was made up. */
  #timestamp: number | undefined;
  #frameMs = 0;
  #audioEnds = 0;

  /** `now`, here and below, is the process's monotonic clock in ms. */
  constructor(now: number) {
    this.#offset = -now;
  }

  /** Ms since the stream began: the last timestamp and the time that has passed since it came. */
  clock(now: number): number {
    return now + this.#offset;
  }

  /** How long no frame has come, in ms; 0 before the first. */
  quietFor(now: number): number {
    return this.#timestamp === undefined ? 0 : this.clock(now) - this.#origin - this.#timestamp;
  }

  /** Notes a frame of `ms`; answers how many ms are missing between it and the audio before it. */
  frame(timestamp: number, ms: number, now: number): number {
    const clock = this.clock(now);
    // The clock never goes back, or audio that has been sent would begin anew.
    const restarted = timestamp < (this.#timestamp ?? clock);
    const missing = this.#timestamp === undefined || restarted ? 0 : this.#missingBefore(timestamp);
    if (restarted) this.#origin = clock - timestamp;
    this.#offset = this.#origin + timestamp - now;
    this.#timestamp = timestamp;
    this.#frameMs = ms;
    this.#audioEnds = timestamp + ms;
    return missing;
  }

  /** Notes `ms` of audio that were made up after the last frame. */
  fill(ms: number): void {
    this.#audioEnds += ms;
  }

  /** Timestamps may be rounded: less than a frame isn't a frame that is missing. */
  #missingBefore(timestamp: number): number {
    const missing = timestamp - this.#audioEnds;
    return missing > 0 && missing >= this.#frameMs ? missing : 0;
  }
}
