import { JitterBuffer } from './jitter-buffer.js';
import { Resampler } from './resampler.js';

const TELEPHONE_RATE = 8_000;
const FRAME_SAMPLES = 160;

/** The telephone's end of a line at 8 kHz: microphone and earpiece exchange frames of 20 ms in Int16. */
class Telephone extends AudioWorkletProcessor {
  #toLine = new Resampler(sampleRate, TELEPHONE_RATE);
  #fromLine = new Resampler(TELEPHONE_RATE, sampleRate);
  #earpiece = new JitterBuffer({ silence: 0, least: 0.05 * sampleRate, most: 0.1 * sampleRate });
  #frame = new Int16Array(FRAME_SAMPLES);
  #filled = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      const samples = Float32Array.from(new Int16Array(data), (sample) => sample / 32_768);
      this.#earpiece.push(this.#fromLine.process(samples));
    };
  }

  process([[microphone] = []], [[earpiece] = []]) {
    if (earpiece !== undefined) this.#earpiece.pull(earpiece);
    if (microphone !== undefined) {
      for (const sample of this.#toLine.process(microphone)) this.#take(sample);
    }
    return true;
  }

  #take(sample) {
    this.#frame[this.#filled] = Math.round(Math.min(1, Math.max(-1, sample)) * 32_767);
    this.#filled += 1;
    if (this.#filled < FRAME_SAMPLES) return;
    this.port.postMessage(this.#frame.buffer, [this.#frame.buffer]);
    this.#frame = new Int16Array(FRAME_SAMPLES);
    this.#filled = 0;
  }
}

registerProcessor('telephone', Telephone);
