// @ts-check

/** The levels at which a meter is empty and full, in dBFS. */
const QUIETEST_DB = -48;
const LOUDEST_DB = -8;
/** The share of its level that a meter keeps from one moment to the next. */
const FALL = 0.88;
/**
 * Returns the loudness, from 0 to 1, of 16-bit samples with this root mean square.
 *
 * @param {number} rms
 */
export function loudness(rms) {
  const db = 20 * Math.log10(Math.max(1, rms) / 32_768);
  return Math.min(1, Math.max(0, (db - QUIETEST_DB) / (LOUDEST_DB - QUIETEST_DB)));
}

/** @param {Int16Array} samples */
export function rootMeanSquare(samples) {
  return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
}

/** A level meter that rises at once and falls slowly. */
export class Meter {
  #element;

  /** @param {HTMLMeterElement} element */
  constructor(element) {
    this.#element = element;
  }

  /** @param {number} level from 0 to 1 */
  show(level) {
    this.#element.value = Math.max(level, this.#element.value * FALL);
  }

  rest() {
    this.#element.value = 0;
  }
}
