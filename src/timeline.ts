/** The caller's stream as its media timestamps tell it: what time it is there, and what is missing. */
export class Timeline {
  /** What to add to the process's clock to get the stream's. */
  #offset: number;
  /** What to add to a timestamp to get the stream's clock: timestamps may start late, or anew. */
  #origin = 0;
  #last: { timestamp: number; ms: number; audioEnds: number; at: number } | undefined;

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
    return this.#last === undefined ? 0 : now - this.#last.at;
  }

  /** Notes a frame of `ms`; answers how many ms are missing between it and the audio before it. */
  frame(timestamp: number, ms: number, now: number): number {
    const last = this.#last;
    this.#last = { timestamp, ms, audioEnds: timestamp + ms, at: now };
    // The clock never goes back, or audio that has been sent would begin anew.
    const restarted = timestamp < (last?.timestamp ?? this.clock(now));
    if (restarted) this.#origin = this.clock(now) - timestamp;
    this.#offset = this.#origin + timestamp - now;
    if (last === undefined || restarted) return 0;
    const missing = timestamp - last.audioEnds;
    // Timestamps may be rounded: less than a frame isn't a frame that is missing.
    return missing > 0 && missing >= last.ms ? missing : 0;
  }

  /** Notes `ms` of audio that were made up after the last frame. */
  fill(ms: number): void {
    if (this.#last) this.#last.audioEnds += ms;
  }
}
