// @ts-check

/** A buffer between live audio and the clock that plays it: what it holds back hides late samples. */
export class JitterBuffer {
  /** @type {ArrayLike<number>[]} */
  #pieces = [];
  /** Samples of the first piece that were taken. */
  #gone = 0;
  #length = 0;
  #flows = false;
  #silence;
  #least;
  #most;

  /**
   * Starts, and restarts after an underrun, at `least` samples; beyond `most` it drops the oldest.
   *
   * @param {{ silence: number, least: number, most: number }} options
   */
  constructor({ silence, least, most }) {
    this.#silence = silence;
    this.#least = least;
    this.#most = most;
  }

  /** The samples in it. */
  get length() {
    return this.#length;
  }

  /** @param {ArrayLike<number>} samples */
  push(samples) {
    this.#pieces.push(samples);
    this.#length += samples.length;
    if (this.#length <= this.#most) return;
    while (this.#length > this.#least) this.#next();
  }

  /**
   * Fills `target` with the next samples, and with silence if there are none.
   *
   * @param {Uint8Array | Float32Array} target
   */
  pull(target) {
    this.#flows ||= this.#length >= this.#least;
    for (let i = 0; i < target.length; i += 1) target[i] = this.#flows ? this.#next() : this.#silence;
  }

  #next() {
    const [piece] = this.#pieces;
    if (piece === undefined) {
      this.#flows = false;
      return this.#silence;
    }
    const sample = piece[this.#gone] ?? this.#silence;
    this.#gone += 1;
    this.#length -= 1;
    if (this.#gone >= piece.length) {
      this.#pieces.shift();
      this.#gone = 0;
    }
    return sample;
  }
}
