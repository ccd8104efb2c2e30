import type { Usage } from './openai.ts';

/** What is known of a call when it is over: counts, tokens, and latencies in ms. */
export class Tally {
  framesUp = 0;
  framesDown = 0;
  earlyFramesDropped = 0;
  gapsFilled = 0;
  bargeIns = 0;
  retries = 0;
  /** OpenAI's errors, by code. */
  readonly errors: Record<string, number> = {};
  readonly usage: Usage = { input: 0, output: 0, cached: 0, text: 0, audio: 0 };
  readyMs: number | undefined;
  firstSoundMs: number | undefined;
  /** From each time the caller stopped speaking to the first sound of the reply. */
  readonly replyMs: number[] = [];

  /** As it goes into the log. */
  summary(): object {
    const { readyMs, firstSoundMs, replyMs, ...counts } = this;
    const sorted = replyMs.toSorted((a, b) => a - b);
    const reply = { median: sorted[Math.floor(sorted.length / 2)], worst: sorted.at(-1) };
    return { ...counts, latencyMs: { ready: readyMs, firstSound: firstSoundMs, reply } };
  }

  addError(code: string | undefined): void {
    const name = code ?? 'unknown';
    this.errors[name] = (this.errors[name] ?? 0) + 1;
  }

  addUsage(usage: Usage): void {
    for (const name of Object.keys(usage) as (keyof Usage)[]) this.usage[name] += usage[name];
  }
}
