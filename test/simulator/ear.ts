import { loudness } from './mulaw.ts';

/** The settings of server_vad that an ear uses; times in ms. */
export interface VoiceActivity {
  threshold: number;
  prefix_padding_ms: number;
  silence_duration_ms: number;
}

export const DEFAULT_VAD: VoiceActivity = {
  threshold: 0.5,
  prefix_padding_ms: 300,
  silence_duration_ms: 500,
};

/** The start or the end of a turn; times in ms of audio since the beginning. */
export type Heard =
  | { type: 'started'; audioStartMs: number }
  | { type: 'stopped'; audioEndMs: number; words: Uint8Array };

const FRAME_MS = 20;
const FRAME_BYTES = 160;
/** Shorter sounds than this many frames are clicks. */
const ONSET_FRAMES = 3;
/** The root mean square at threshold 1. Telephone speech is at 3,000 to 8,000, its pauses below 300. */
const FULL_THRESHOLD = 1000;

/** Detects turns in mu-law by loudness. Like server_vad it counts the audio's own time, not the clock's. */
export class Ear {
  #vad = DEFAULT_VAD;
  #ms = 0;
  #rest: Uint8Array = new Uint8Array();
  #turn: Uint8Array[] = [];
  #quietFrames = 0;
  #speaking = false;

  /** Sets what the default doesn't say. */
  configure(vad: Partial<VoiceActivity>): void {
    this.#vad = { ...DEFAULT_VAD, ...vad };
  }

  /** Returns the turns that began and ended in mu-law of any length; `words` exclude the pauses around them. */
  hear(audio: Uint8Array): Heard[] {
    const heard: Heard[] = [];
    const all = Buffer.concat([this.#rest, audio]);
    const end = all.length - (all.length % FRAME_BYTES);
    for (let at = 0; at < end; at += FRAME_BYTES) {
      const frame = all.subarray(at, at + FRAME_BYTES);
      this.#ms += FRAME_MS;
      this.#turn.push(frame);
      const loud = loudness(frame) >= this.#vad.threshold * FULL_THRESHOLD;
      const event = this.#speaking ? this.#during(loud) : this.#before(loud);
      if (event !== undefined) heard.push(event);
    }
    this.#rest = all.subarray(end);
    return heard;
  }

  #before(loud: boolean): Heard | undefined {
    if (!loud) this.#turn = [];
    if (this.#turn.length < ONSET_FRAMES) return undefined;
    this.#speaking = true;
    this.#quietFrames = 0;
    const began = this.#ms - this.#turn.length * FRAME_MS;
    return { type: 'started', audioStartMs: Math.max(0, began - this.#vad.prefix_padding_ms) };
  }

  #during(loud: boolean): Heard | undefined {
    this.#quietFrames = loud ? 0 : this.#quietFrames + 1;
    if (loud || this.#quietFrames * FRAME_MS < this.#vad.silence_duration_ms) return undefined;
    const words = Buffer.concat(this.#turn.slice(0, this.#turn.length - this.#quietFrames));
    this.#turn = [];
    this.#speaking = false;
    return { type: 'stopped', audioEndMs: this.#ms, words };
  }
}
