import type { Usage } from '../wire/openai.ts';

/** How many codes are counted apart. */
const MOST_CODES = 20;

/** What is known of a call when it is over: counts, tokens, and latencies in ms. */
export class Tally {
  framesUp = 0;
  framesDown = 0;
  earlyFramesDropped = 0;
  gapsFilled = 0;
  bargeIns = 0;
  /** Sessions dialled and responses asked for once more. */
  retries = 0;
  /** OpenAI's errors, by code. */
  readonly errors = new Map<string, number>();
  readonly usage: Usage = { input: 0, output: 0, cached: 0, text: 0, audio: 0 };
  readyMs: number | undefined;
  firstSoundMs: number | undefined;
  /** From each time the caller stopped speaking to the first sound of the reply. */
  readonly replyMs: number[] = [];

  /** As it goes into the log. */
  summary(): object {
    const { readyMs, firstSoundMs, replyMs, errors, ...counts } = this;
    const sorted = replyMs.toSorted((a, b) => a - b);
    const reply = { median: sorted[Math.floor(sorted.length / 2)], worst: sorted.at(-1) };
    const latencyMs = { ready: readyMs, firstSound: firstSoundMs, reply };
    return { ...counts, errors: Object.fromEntries(errors), latencyMs };
  }

  addError(code = 'unknown'): void {
    const name = this.errors.has(code) || this.errors.size < MOST_CODES ? code : 'other';
    this.errors.set(name, (this.errors.get(name) ?? 0) + 1);
  }

  addUsage(usage: Usage): void {
    for (const name of ['input', 'output', 'cached', 'text', 'audio'] as const)
      this.usage[name] += usage[name];
  }
}
