/** The longest silence that a caller hears, in ms, and the longest while a response is visibly in the making. */
const MAX_WAIT_MS = 15_000;
const MAX_WORK_MS = 45_000;

/** How long the caller has been waiting for a reply, for any sound, or for the rest of a response. */
export class Watchdog {
  /** Since when the caller waits, hears nothing, and OpenAI shows no sign of work. */
  #waiting:
    | { for: 'reply' | 'sound' | 'rest'; since: number; silentSince: number; idleSince: number }
    | undefined;

  /** The caller waits for something else, or anew. */
  restart(what: 'reply' | 'sound' | 'rest', now: number): void {
    this.#waiting = { for: what, since: now, silentSince: now, idleSince: now };
  }

  /** The caller waits for a sound, unless waiting already. */
  start(now: number): void {
    if (this.#waiting === undefined) this.restart('sound', now);
  }

  /** What was waited for so far counts from now on. */
  streamStarted(now: number): void {
    if (this.#waiting !== undefined) this.restart(this.#waiting.for, now);
  }

  stop(): void {
    this.#waiting = undefined;
  }

  get isForRest(): boolean {
    return this.#waiting?.for === 'rest';
  }

  /** The response is heard; returns how long the caller waited, in ms, if that was for a reply. */
  heard(now: number): number | undefined {
    const waited = this.#waiting?.for === 'reply' ? now - this.#waiting.since : undefined;
    this.restart('rest', now);
    return waited;
  }

  working(now: number): void {
    if (this.#waiting !== undefined) this.#waiting.idleSince = now;
  }

  /** Whether `delayMs` more of silence are too long. */
  isTooLong(delayMs: number, now: number): boolean {
    return now + delayMs - (this.#waiting?.silentSince ?? now) >= MAX_WAIT_MS;
  }

  /** Whether the caller has heard nothing for too long; `isBusy` while something plays, or a tool runs. */
  isOverdue(isBusy: boolean, now: number): boolean {
    if (this.#waiting === undefined) return false;
    if (isBusy) {
      this.#waiting.silentSince = now;
      this.#waiting.idleSince = now;
    }
    const { silentSince, idleSince } = this.#waiting;
    return now - idleSince >= MAX_WAIT_MS || now - silentSince >= MAX_WORK_MS;
  }
}
