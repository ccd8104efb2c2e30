// @ts-check

/** @typedef {import('../report.ts').CallReport} CallReport */

/**
 * The visible part of the timeline, in pixels; times are in ms since the stream's start.
 *
 * @typedef {object} Scene
 * @property {number} from
 * @property {number} to
 * @property {number} pxPerMs
 * @property {(bar: number) => number} caller the loudness of a bar, from 0 to 1; drawn squared, as a meter's scale hides syllables
 * @property {(bar: number) => number} assistant
 * @property {CallReport['turns']} turns
 * @property {CallReport['bargeIns']} bargeIns
 * @property {number[]} sounds the starts of the assistant's audio
 * @property {{ at: number, text: string }[]} keys
 */

export const BAR_PX = 3;
const LABELS_PX = 34;
const LANE_PX = 64;
const GAP_PX = 40;
const AXIS_PX = 26;
export const HEIGHT_PX = LABELS_PX + LANE_PX + GAP_PX + LANE_PX + AXIS_PX;

const CALLER_Y = LABELS_PX + LANE_PX / 2;
const ASSISTANT_Y = LABELS_PX + LANE_PX + GAP_PX + LANE_PX / 2;
const LATENCY_Y = LABELS_PX + LANE_PX + GAP_PX / 2;
const AXIS_Y = HEIGHT_PX - AXIS_PX;
const LEAST_BAR_PX = 2;
/** The least gap between labels, and half a key's cap. */
const APART_PX = 6;
const CAP_PX = 9;

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 */
export function paint(context, scene) {
  const style = getComputedStyle(context.canvas);
  /** @param {string} name */
  const colour = (name) => style.getPropertyValue(name);
  context.font = `500 12px ${style.fontFamily}`;
  context.textBaseline = 'middle';
  paintAxis(context, scene, colour('--muted'), colour('--line'));
  paintUnheard(context, scene, colour('--assistant'));
  paintLane(context, scene, scene.caller, CALLER_Y, colour('--caller'), colour('--line'));
  paintLane(context, scene, scene.assistant, ASSISTANT_Y, colour('--assistant'), colour('--line'));
  paintCuts(context, scene, colour('--cut'), colour('--card'));
  paintLatencies(context, scene, colour('--text'), colour('--muted'), colour('--card'));
  paintKeys(context, scene, colour('--caller'), colour('--card'));
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {(bar: number) => number} level
 * @param {number} y
 * @param {string} colour
 * @param {string} quiet
 */
function paintLane(context, { from, to }, level, y, colour, quiet) {
  const first = Math.max(0, Math.floor(from / BAR_PX));
  for (let i = first; i * BAR_PX < to; i += 1) {
    const height = Math.max(LEAST_BAR_PX, level(i) ** 2 * LANE_PX);
    context.fillStyle = height > LEAST_BAR_PX ? colour : quiet;
    context.beginPath();
    context.roundRect(i * BAR_PX, y - height / 2, BAR_PX - 1, height, 1);
    context.fill();
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {string} text
 * @param {string} line
 */
function paintAxis(context, { from, to, pxPerMs }, text, line) {
  const stepMs = pxPerMs * 1_000 > 30 ? 5_000 : 10_000;
  context.textAlign = 'left';
  const firstMs = Math.max(0, Math.floor(from / pxPerMs / 1_000) * 1_000);
  for (let ms = firstMs; ms * pxPerMs < to; ms += 1_000) {
    const x = Math.round(ms * pxPerMs);
    const isLabelled = ms % stepMs === 0;
    context.fillStyle = line;
    context.fillRect(x, AXIS_Y + 4, 1, isLabelled ? 16 : 5);
    context.fillStyle = text;
    if (isLabelled) context.fillText(clock(ms), x + 5, AXIS_Y + 15);
  }
}

/**
 * Draws audio that was sent and cut, up to the next sound.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {string} colour
 */
function paintUnheard(context, { pxPerMs, bargeIns, sounds }, colour) {
  context.strokeStyle = colour;
  context.fillStyle = colour;
  context.lineWidth = 1;
  for (const { at, unheardMs } of bargeIns) {
    const next = sounds.find((sound) => sound > at) ?? Infinity;
    const left = at * pxPerMs + 2;
    const right = Math.min(at + unheardMs, next) * pxPerMs - 2;
    if (right <= left) continue;
    context.beginPath();
    context.roundRect(left, ASSISTANT_Y - 12, right - left, 24, 4);
    context.globalAlpha = 0.1;
    context.fill();
    context.globalAlpha = 0.6;
    context.setLineDash([3, 3]);
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
  }
}

/**
 * Draws the times from the end of the caller's words to the first sound.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {string} text
 * @param {string} line
 * @param {string} ground
 */
function paintLatencies(context, { pxPerMs, turns }, text, line, ground) {
  context.textAlign = 'center';
  let free = -Infinity;
  for (const { endedAt, latencyMs } of turns) {
    if (latencyMs === undefined) continue;
    const x = Math.round(endedAt * pxPerMs);
    const end = Math.round((endedAt + latencyMs) * pxPerMs);
    const y = LATENCY_Y + 8;
    context.fillStyle = line;
    context.fillRect(x, y, end - x, 1);
    context.fillRect(x, y - 4, 1, 9);
    context.fillRect(end - 1, y - 4, 1, 9);
    const label = seconds(latencyMs);
    const half = context.measureText(label).width / 2;
    const middle = (x + end) / 2;
    if (middle - half < free) continue;
    free = middle + half + APART_PX;
    // The line of a cut may run through the label.
    context.fillStyle = ground;
    context.fillRect(middle - half - 2, LATENCY_Y - 14, 2 * half + 4, 16);
    context.fillStyle = text;
    context.fillText(label, middle, LATENCY_Y - 6);
  }
}

/**
 * Draws a line at each cut, with the longest label that fits.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {string} colour
 * @param {string} ground
 */
function paintCuts(context, { from, to, pxPerMs, bargeIns }, colour, ground) {
  context.textAlign = 'left';
  const xs = bargeIns.map(({ at }) => Math.round(at * pxPerMs));
  let free = -Infinity;
  bargeIns.forEach(({ heardMs, reportedMs }, i) => {
    const x = xs[i] ?? 0;
    const next = (xs[i + 1] ?? Infinity) - APART_PX;
    const isSeen = x >= from && x <= to;
    context.fillStyle = colour;
    context.fillRect(x - 1, 12, 2, ASSISTANT_Y + LANE_PX / 2 - 12);
    const short = seconds(heardMs);
    const reported = reportedMs === undefined ? '' : ` · server: ${seconds(reportedMs)}`;
    for (const label of [`cut after ${short}${reported}`, `cut after ${short}`, short]) {
      const width = context.measureText(label).width + 16;
      // At the right edge the label moves to the left of its line.
      const left = isSeen ? Math.max(from, free, Math.min(x - 1, to - width)) : x - 1;
      if (left + width > Math.min(next, isSeen ? to : Infinity)) continue;
      free = left + width + APART_PX;
      context.beginPath();
      context.roundRect(left, 2, width, 22, 5);
      context.fill();
      context.fillStyle = ground;
      context.fillText(label, left + 8, 14);
      break;
    }
  });
}

/**
 * Draws a tick and a cap for each key; keys in quick succession share a cap.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {string} colour
 * @param {string} ground
 */
function paintKeys(context, { pxPerMs, keys }, colour, ground) {
  /** @type {{ left: number, width: number, text: string }[]} */
  const caps = [];
  context.textAlign = 'center';
  context.strokeStyle = colour;
  context.lineWidth = 1;
  for (const { at, text } of keys) {
    const x = Math.round(at * pxPerMs);
    context.fillStyle = colour;
    context.fillRect(x, CALLER_Y - LANE_PX / 2, 1, LANE_PX);
    const last = caps.at(-1);
    const joins = last !== undefined && x - CAP_PX < last.left + last.width + APART_PX;
    const cap = joins ? last : { left: x - CAP_PX, width: 0, text: '' };
    if (!joins) caps.push(cap);
    cap.text += text;
    cap.width = Math.max(2 * CAP_PX, context.measureText(cap.text).width + 10);
  }
  for (const { left, width, text } of caps) {
    context.beginPath();
    context.roundRect(left + 0.5, CALLER_Y - 10.5, width, 20, 4);
    context.fillStyle = ground;
    context.fill();
    context.stroke();
    context.fillStyle = colour;
    context.fillText(text, left + 0.5 + width / 2, CALLER_Y);
  }
}

/**
 * Returns `1:05` for 65,000.
 *
 * @param {number} ms
 */
export function clock(ms) {
  const s = Math.floor(ms / 1_000);
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}`;
}

/**
 * Returns `1.23 s` for 1,234, and never less than 0, as two clocks may differ.
 *
 * @param {number} ms
 */
export function seconds(ms) {
  return `${(Math.max(0, ms) / 1_000).toFixed(2)} s`;
}
