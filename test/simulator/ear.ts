import { loudness } from './mulaw.ts';
import type { VoiceActivity } from './session-config.ts';

/** What an ear makes of the audio; times in ms of audio heard since the beginning. */
export type Heard =
  | { type: 'started'; audioStartMs: number }
  | { type: 'stopped'; audioEndMs: number; words: Uint8Array };

const FRAME_MS = 20;
const FRAME_BYTES = 160;
/** Shorter sounds than this many frames are clicks. */
const ONSET_FRAMES = 3;
/** The root mean square that threshold 1 stands for: speech on the telephone is at 3,000 to 8,000, its pauses below 300. */
const FULL_THRESHOLD = 1000;

/** Tells speech from silence in mu-law by its loudness, as server_vad does: in the audio's own time, whenever it comes. */
export class Ear {
  /** Undefined to wait for `take` instead of pauses. */
  vad: VoiceActivity | undefined;
  #ms = 0;
  #rest: Uint8Array = new Uint8Array();
  #turn: Uint8Array[] = [];
  #quietFrames = 0;
  #speaking = false;

  constructor(vad: VoiceActivity | undefined) {
    this.vad = vad;
  }

  /** Whether the speaker is in the middle of a turn. */
  get speaking(): boolean {
    return this.#speaking;
  }

  /** Takes in mu-law of any length and tells which turns began and ended in it; `words` are without the pauses around them. */
  hear(audio: Uint8Array): Heard[] {
    const heard: Heard[] = [];
    const all = Buffer.concat([this.#rest, audio]);
    const end = all.length - (all.length % FRAME_BYTES);
    for (let at = 0; at < end; at += FRAME_BYTES) {
      const event = this.#hearFrame(all.subarray(at, at + FRAME_BYTES));
      if (event !== undefined) heard.push(event);
    }
    this.#rest = all.subarray(end);
    return heard;
  }

  /** What is held of the turn so far, which is then forgotten; without `vad`, everything since the last time. */
  take(): Uint8Array {
    const taken = Buffer.concat([...this.#turn, this.#rest]);
    this.#turn = [];
    this.#rest = new Uint8Array();
    this.#speaking = false;
    return taken;
  }

  #hearFrame(frame: Uint8Array): Heard | undefined {
    this.#ms += FRAME_MS;
    this.#turn.push(frame);
    if (this.vad === undefined) return undefined;
    const loud = loudness(frame) >= this.vad.threshold * FULL_THRESHOLD;
    return this.#speaking ? this.#during(loud, this.vad) : this.#before(loud, this.vad);
  }

  #before(loud: boolean, { prefix_padding_ms }: VoiceActivity): Heard | undefined {
    if (!loud) this.#turn = [];
    if (this.#turn.length < ONSET_FRAMES) return undefined;
    this.#speaking = true;
    this.#quietFrames = 0;
    const began = this.#ms - this.#turn.length * FRAME_MS;
    return { type: 'started', audioStartMs: Math.max(0, began - prefix_padding_ms) };
  }

  #during(loud: boolean, { silence_duration_ms }: VoiceActivity): Heard | undefined {
    this.#quietFrames = loud ? 0 : this.#quietFrames + 1;
    if (this.#quietFrames * FRAME_MS < silence_duration_ms || loud) return undefined;
    const words = Buffer.concat(this.#turn.slice(0, this.#turn.length - this.#quietFrames));
    this.#turn = [];
    this.#speaking = false;
    return { type: 'stopped', audioEndMs: this.#ms, words };
  }
}
