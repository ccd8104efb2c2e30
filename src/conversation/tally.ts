import type { Usage } from '../contract.ts';
import { NO_TRANSCRIPTION, NO_USAGE, type ServerEvent } from '../wire/openai.ts';

/** How many codes are counted apart. */
const MAX_CODES = 20;
/** How many of the last latencies are kept. */
const MAX_LATENCIES = 1_000;

/** What the log has of a call when it is over: counts, tokens, and latencies in ms. Nothing is decided by it. */
export class Tally {
  bargeIns = 0;
  /** How many, never which. */
  keysPressed = 0;
  #framesDown = 0;
  /** OpenAI's errors, by code. */
  readonly #errors = new Map<string, number>();
  readonly usage: Usage = { ...NO_USAGE, ...NO_TRANSCRIPTION };
  readonly #began: number;
  #readyAt = 0;
  #readyMs: number | undefined;
  #firstSoundMs: number | undefined;
  readonly #replyMs: number[] = [];

  constructor(now: number) {
    this.#began = now;
  }

  streamStarted(now: number): void {
    this.#readyAt = Math.max(this.#readyAt, now);
  }

  /** Counts an event's errors and usage. */
  listen(event: ServerEvent): void {
    if (event.type === 'caller transcribed') add(event.usage, this.usage);
    if (event.type === 'error') this.#error(event.error.code);
    if (event.type !== 'response.done') return;
    const { status, error, usage } = event.response;
    add(usage, this.usage);
    if (status === 'failed' || status === 'incomplete') this.#error(error?.code);
  }

  /** The session is ready; that of a session which took over from one that was heard is no news. */
  sessionReady(now: number): void {
    if (this.#firstSoundMs !== undefined) return;
    this.#readyAt = now;
    this.#readyMs = Math.round(now - this.#began);
  }

  /** Counts audio that went down; `waitedMs` since the caller stopped speaking, if it begins a reply. */
  sound(waitedMs: number | undefined, now: number): void {
    this.#framesDown += 1;
    // The clock goes back by a stall once that is noticed.
    this.#firstSoundMs ??= Math.max(0, Math.round(now - this.#readyAt));
    if (waitedMs === undefined) return;
    this.#replyMs.push(Math.round(waitedMs));
    if (this.#replyMs.length > MAX_LATENCIES) this.#replyMs.shift();
  }

  #error(code = 'unknown'): void {
    const name = this.#errors.has(code) || this.#errors.size < MAX_CODES ? code : 'other';
    this.#errors.set(name, (this.#errors.get(name) ?? 0) + 1);
  }

  /** As it goes into the log; `retries` are what was asked for, or dialled, once more. */
  summary(retries: number): object {
    const sorted = this.#replyMs.toSorted((a, b) => a - b);
    const reply = { median: sorted[Math.floor(sorted.length / 2)], worst: sorted.at(-1) };
    return {
      framesDown: this.#framesDown,
      keysPressed: this.keysPressed,
      bargeIns: this.bargeIns,
      retries,
      errors: Object.fromEntries(this.#errors),
      usage: this.usage,
      latencyMs: { ready: this.#readyMs, firstSound: this.#firstSoundMs, reply },
    };
  }
}

function add<Kind extends string>(counts: Record<Kind, number>, sums: NoInfer<Record<Kind, number>>): void {
  for (const kind in counts) sums[kind] += counts[kind];
}
