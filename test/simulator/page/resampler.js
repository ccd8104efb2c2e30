// @ts-check

/** The low-pass, in Hz: a telephone carries speech up to 3.4 kHz, and 8 kHz hold 4 kHz at most. */
const CUTOFF_HZ = 3_700;
/** The filter's reach to either side, in seconds. */
const REACH_S = 0.003;
/** The Kaiser window's shape, for 60 dB of attenuation. */
const BETA = 5.65;

/** Changes the sample rate of a stream of audio, through a low-pass for the telephone's band. */
export class Resampler {
  #step;
  #phases;
  #taps;
  /** The filter's coefficients, phase after phase. */
  #kernel;
  /** Input samples that the next output needs. */
  #past;
  /** The position of the next output after the first of `past`, in phases. */
  #at = 0;

  /**
   * @param {number} from in Hz, a whole number
   * @param {number} to in Hz, a whole number
   */
  constructor(from, to) {
    const divisor = gcd(from, to);
    this.#step = from / divisor;
    this.#phases = to / divisor;
    const reach = Math.ceil(REACH_S * from);
    this.#taps = 2 * reach;
    this.#kernel = kernel(this.#phases, reach, from);
    this.#past = new Float32Array(this.#taps - 1);
  }

  /**
   * Returns the next samples at the new rate, `REACH_S` late.
   *
   * @param {Float32Array} samples from -1 to 1, as many as there are
   */
  process(samples) {
    const all = new Float32Array(this.#past.length + samples.length);
    all.set(this.#past);
    all.set(samples, this.#past.length);
    const end = (all.length - this.#taps + 1) * this.#phases;
    const output = new Float32Array(Math.max(0, Math.ceil((end - this.#at) / this.#step)));
    for (let i = 0; i < output.length; i += 1) {
      const first = Math.floor(this.#at / this.#phases);
      const coefficients = (this.#at % this.#phases) * this.#taps;
      let sum = 0;
      for (let tap = 0; tap < this.#taps; tap += 1) {
        sum += (all[first + tap] ?? 0) * (this.#kernel[coefficients + tap] ?? 0);
      }
      output[i] = sum;
      this.#at += this.#step;
    }
    const used = all.length - this.#taps + 1;
    this.#at -= used * this.#phases;
    this.#past = all.slice(used);
    return output;
  }
}

/**
 * A windowed sinc for each phase, of unit gain at 0 Hz.
 *
 * @param {number} phases
 * @param {number} reach in input samples
 * @param {number} rate of the input, in Hz
 */
function kernel(phases, reach, rate) {
  const taps = 2 * reach;
  const all = new Float32Array(phases * taps);
  for (let phase = 0; phase < phases; phase += 1) {
    const one = all.subarray(phase * taps, (phase + 1) * taps);
    for (let tap = 0; tap < taps; tap += 1) {
      const distance = tap - (reach - 1) - phase / phases;
      one[tap] = sinc((2 * CUTOFF_HZ * distance) / rate) * kaiser(distance / reach);
    }
    const gain = one.reduce((sum, value) => sum + value, 0);
    for (let tap = 0; tap < taps; tap += 1) one[tap] = (one[tap] ?? 0) / gain;
  }
  return all;
}

/** @param {number} x */
function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** @param {number} x from -1 to 1 */
function kaiser(x) {
  return bessel(BETA * Math.sqrt(Math.max(0, 1 - x * x))) / bessel(BETA);
}

/**
 * The modified Bessel function of the first kind and order 0.
 *
 * @param {number} x
 */
function bessel(x) {
  let sum = 1;
  for (let k = 1, term = 1; k < 30; k += 1) {
    term *= (x / 2 / k) ** 2;
    sum += term;
  }
  return sum;
}

/**
 * @param {number} a
 * @param {number} b
 * @returns {number}
 */
function gcd(a, b) {
  return b === 0 ? a : gcd(b, a % b);
}
