// @ts-check

/** Live audio between who speaks it and a clock that takes it: a little is held back, so that late samples leave no gap. */
export class JitterBuffer {
  /** @type {ArrayLike<number>[]} */
  #pieces = [];
  /** How many samples of the first piece are gone. */
  #gone = 0;
  #length = 0;
  #flows = false;
  #silence;
  #least;
  #most;

  /**
   * Begins to give when it has `least` samples, again after each time that it ran empty; beyond `most` it drops the oldest.
   *
   * @param {{ silence: number, least: number, most: number }} options
   */
  constructor({ silence, least, most }) {
    this.#silence = silence;
    this.#least = least;
    this.#most = most;
  }

  /** How many samples wait. */
  get length() {
    return this.#length;
  }

  /**
   * Takes in samples.
   *
   * @param {ArrayLike<number>} samples
   */
  push(samples) {
    this.#pieces.push(samples);
    this.#length += samples.length;
    if (this.#length <= this.#most) return;
    while (this.#length > this.#least) this.#next();
  }

  /**
   * Fills `target` with the samples that are next, and with silence where there are none.
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
