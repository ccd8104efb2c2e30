// @ts-check
import { BAR_PX, HEIGHT_PX, paint } from './paint.js';

export const MOMENT_MS = 20;
/** Moments in a bar: during the call, and at most after it, when the whole call is to fit. */
const LIVE_MOMENTS = 3;
const MOST_MOMENTS = 8;
const MARGIN_PX = 16;
/** The distance from the end within which the timeline follows the call. */
const NEAR_PX = 24;

/** @typedef {import('../report.ts').CallReport} CallReport */

/** Two lanes, of the caller's loudness and the assistant's as heard, with turns and cuts. */
export class Timeline {
  #scroller;
  #length;
  #canvas;
  /** @type {number[]} */
  #caller = [];
  /** @type {number[]} */
  #assistant = [];
  #moments = LIVE_MOMENTS;
  #isFollowing = true;
  #isFinished = false;
  #isDue = false;
  /** @type {Pick<CallReport, 'turns' | 'bargeIns'>} */
  #report = { turns: [], bargeIns: [] };
  /** @type {{ at: number, text: string }[]} */
  #keys = [];
  /** @type {number[]} */
  #sounds = [];
  /** The stream's start, in ms after the call was placed, like all times. */
  #began = 0;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} length what it scrolls
   * @param {HTMLCanvasElement} canvas sticks to its left edge
   */
  constructor(scroller, length, canvas) {
    this.#scroller = scroller;
    this.#length = length;
    this.#canvas = canvas;
    new ResizeObserver(() => this.#fit()).observe(scroller);
    scroller.addEventListener('scroll', () => {
      this.#isFollowing = scroller.scrollLeft + scroller.clientWidth >= scroller.scrollWidth - NEAR_PX;
      this.#draw();
    });
    for (const query of ['(prefers-color-scheme: dark)', '(forced-colors: active)']) {
      matchMedia(query).addEventListener('change', () => this.#draw());
    }
  }

  get ms() {
    return this.#caller.length * MOMENT_MS;
  }

  clear() {
    this.#caller = [];
    this.#assistant = [];
    this.#report = { turns: [], bargeIns: [] };
    this.#keys = [];
    this.#sounds = [];
    this.#moments = LIVE_MOMENTS;
    this.#isFollowing = true;
    this.#isFinished = false;
    this.#fit();
  }

  /**
   * Adds 20 ms.
   *
   * @param {number} caller from 0 to 1
   * @param {number} assistant from 0 to 1
   */
  add(caller, assistant) {
    this.#caller.push(caller);
    this.#assistant.push(assistant);
    if (this.#caller.length % this.#moments === 0) this.#fit();
  }

  /**
   * @param {number} at
   * @param {string} text
   */
  press(at, text) {
    this.#keys.push({ at, text });
  }

  /** @param {number} at the start of the assistant's audio */
  sound(at) {
    this.#sounds.push(at);
  }

  /**
   * Shows the report, with the keys and sounds so far.
   *
   * @param {CallReport} report
   * @param {number} began
   */
  mark(report, began) {
    this.#report = report;
    this.#began = began;
    this.#draw();
  }

  /** Shows the whole call, as far as it stays legible. */
  finish() {
    this.#isFinished = true;
    this.#fit();
    this.#scroller.scrollLeft = 0;
  }

  #fit() {
    const { clientWidth } = this.#scroller;
    if (this.#isFinished) {
      const bars = Math.max(1, Math.floor((clientWidth - MARGIN_PX) / BAR_PX));
      const moments = Math.ceil(this.#caller.length / bars);
      this.#moments = Math.min(MOST_MOMENTS, Math.max(LIVE_MOMENTS, moments));
    }
    const width = Math.ceil(this.#caller.length / this.#moments) * BAR_PX + MARGIN_PX;
    this.#length.style.setProperty('width', `${Math.max(width, clientWidth)}px`);
    if (this.#isFollowing && !this.#isFinished) this.#follow(width - clientWidth);
    this.#draw();
  }

  /** @param {number} end where the timeline shows its end */
  #follow(end) {
    const isStill = matchMedia('(prefers-reduced-motion: reduce)').matches;
    const step = isStill ? this.#scroller.clientWidth / 2 : 1;
    this.#scroller.scrollLeft = Math.ceil(Math.max(0, end) / step) * step;
  }

  #draw() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      const { clientWidth: width, scrollLeft: from } = this.#scroller;
      const scale = devicePixelRatio;
      this.#canvas.width = Math.round(width * scale);
      this.#canvas.height = Math.round(HEIGHT_PX * scale);
      this.#canvas.style.setProperty('width', `${width}px`);
      this.#canvas.style.setProperty('height', `${HEIGHT_PX}px`);
      const context = this.#canvas.getContext('2d');
      if (context === null) return;
      context.scale(scale, scale);
      context.translate(-from, 0);
      paint(context, {
        from,
        to: from + width,
        pxPerMs: BAR_PX / (this.#moments * MOMENT_MS),
        caller: (bar) => loudest(this.#caller, bar, this.#moments),
        assistant: (bar) => loudest(this.#assistant, bar, this.#moments),
        turns: this.#report.turns.map((turn) => ({ ...turn, endedAt: turn.endedAt - this.#began })),
        bargeIns: this.#report.bargeIns.map((cut) => ({ ...cut, at: cut.at - this.#began })),
        sounds: this.#sounds.map((at) => at - this.#began),
        keys: this.#keys.map((key) => ({ ...key, at: key.at - this.#began })),
      });
    });
  }
}

/**
 * Returns the loudest level of a bar; 0 after the end of the call.
 *
 * @param {number[]} levels
 * @param {number} bar
 * @param {number} moments
 */
function loudest(levels, bar, moments) {
  return Math.max(0, ...levels.slice(bar * moments, (bar + 1) * moments));
}
