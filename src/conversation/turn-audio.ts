import { audioMs, BYTES_PER_MS } from '../wire/audio.ts';

/** Audio from before a turn that belongs to it, in ms: 300, and the time until OpenAI reports that the turn has begun. */
const PRE_ROLL_MS = 600;
const PRE_ROLL_BYTES = PRE_ROLL_MS * BYTES_PER_MS;
/** The most that is kept, in ms and in frames, which may be tiny. */
const MAX_MS = 20_000;
const MAX_FRAMES = 1_000;

/** The caller's audio that no reply has answered yet, in base64: a session that takes over needs it. */
export class TurnAudio {
  /** Whether a turn has begun since the last reply. */
  hasTurn = false;
  /** Frames that were kept and dropped, for the log. */
  dropped = 0;
  frames: string[] = [];
  #ms = 0;
  /** The latest audio outside of a turn, decoded: that takes a quarter of the memory. */
  readonly #preRoll = Buffer.allocUnsafeSlow(PRE_ROLL_BYTES);
  #preRollEnd = 0;

  begin(): void {
    this.hasTurn = true;
    this.keepPreRoll();
  }

  /** Adds audio of `ms`, in a turn or before it. */
  add(audio: string, ms: number, isInTurn: boolean): void {
    if (isInTurn) this.#keep(audio, ms);
    else this.#addToPreRoll(audio.slice(-(PRE_ROLL_BYTES / 3) * 4));
  }

  /** What comes from now on is kept, and the audio from just before. */
  keepPreRoll(): void {
    if (this.#preRollEnd === 0) return;
    const audio = this.#preRoll.toString('base64', 0, this.#preRollEnd);
    this.#preRollEnd = 0;
    this.#keep(audio, audioMs(audio));
  }

  answered(): void {
    this.hasTurn = false;
    this.frames = [];
    this.#ms = 0;
  }

  #keep(audio: string, ms: number): void {
    this.frames.push(audio);
    this.#ms += ms;
    while (this.#ms > MAX_MS || this.frames.length > MAX_FRAMES) {
      this.#ms -= audioMs(this.frames.shift() ?? '');
      this.dropped += 1;
    }
  }

  #addToPreRoll(audio: string): void {
    const surplus = Math.max(0, this.#preRollEnd + audioMs(audio) * BYTES_PER_MS - PRE_ROLL_BYTES);
    this.#preRoll.copyWithin(0, surplus, this.#preRollEnd);
    this.#preRollEnd -= surplus;
    this.#preRollEnd += this.#preRoll.write(audio, this.#preRollEnd, 'base64');
  }
}
