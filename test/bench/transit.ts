import type { Tag } from './wire.ts';

/** How many frames of one sender may be on their way at once: 20 s of a caller's. */
const KEPT = 1_024;
const MOST_SENDERS = 1_000;
const MOST_SAMPLES = 500_000;

/** Ms from one peer's send to the other's receipt. */
export interface Latency {
  median: number;
  p99: number;
}

/** What goes one way: counted, and from `record` to `latency` timed on one clock. */
export class Transit {
  sent = 0;
  received = 0;
  readonly #sentAt = new Float64Array(KEPT * MOST_SENDERS);
  readonly #samples = new Float64Array(MOST_SAMPLES);
  #count = 0;
  #isRecording = false;
  #whenAllReceived: (() => void) | undefined;

  send({ sender, number }: Tag): void {
    this.sent += 1;
    this.#sentAt[sender * KEPT + (number % KEPT)] = performance.now();
  }

  receive({ sender, number }: Tag): void {
    this.received += 1;
    if (this.#whenAllReceived !== undefined && this.received === this.sent) this.#whenAllReceived();
    if (!this.#isRecording || this.#count === MOST_SAMPLES) return;
    const sentAt = this.#sentAt[sender * KEPT + (number % KEPT)] ?? Number.NaN;
    this.#samples[this.#count] = performance.now() - sentAt;
    this.#count += 1;
  }

  /** Resolves when nothing is on its way. */
  async allReceived(): Promise<void> {
    if (this.received === this.sent) return;
    await new Promise<void>((resolve) => {
      this.#whenAllReceived = resolve;
    });
    this.#whenAllReceived = undefined;
  }

  reset(): void {
    this.sent = 0;
    this.received = 0;
  }

  record(): void {
    this.#isRecording = true;
    this.#count = 0;
  }

  /** Of what was received since `record`, which ends with this. */
  latency(): Latency {
    this.#isRecording = false;
    const sorted = this.#samples.subarray(0, this.#count).sort();
    const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
    return { median: at(0.5), p99: at(0.99) };
  }
}
