// @ts-check

/** @typedef {import('../report.ts').CallReport} CallReport */

/**
 * What is seen of the timeline, from one pixel to another; times are in ms since the stream began.
 *
 * @typedef {object} Scene
 * @property {number} from
 * @property {number} to
 * @property {number} pxPerMs
 * @property {(bar: number) => number} caller how loud a bar is, from 0 to 1; it is drawn by its square, as a meter's scale hides syllables
 * @property {(bar: number) => number} assistant
 * @property {CallReport['turns']} turns
 * @property {CallReport['bargeIns']} bargeIns
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

/**
 * Draws it all.
 *
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
  paintLatencies(context, scene, colour('--text'), colour('--muted'));
  paintCuts(context, scene, colour('--cut'), colour('--card'));
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
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {string} colour
 */
function paintUnheard(context, { pxPerMs, bargeIns }, colour) {
  context.strokeStyle = colour;
  context.fillStyle = colour;
  context.lineWidth = 1;
  for (const { at, unheardMs } of bargeIns) {
    const x = at * pxPerMs;
    context.beginPath();
    context.roundRect(x + 2, ASSISTANT_Y - 12, unheardMs * pxPerMs, 24, 4);
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
 * From where the caller ended to the first sound.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {string} text
 * @param {string} line
 */
function paintLatencies(context, { pxPerMs, turns }, text, line) {
  context.textAlign = 'center';
  for (const { endedAt, latencyMs } of turns) {
    if (latencyMs === undefined) continue;
    const x = Math.round(endedAt * pxPerMs);
    const end = Math.round((endedAt + latencyMs) * pxPerMs);
    const y = LATENCY_Y + 8;
    context.fillStyle = line;
    context.fillRect(x, y, end - x, 1);
    context.fillRect(x, y - 4, 1, 9);
    context.fillRect(end - 1, y - 4, 1, 9);
    context.fillStyle = text;
    context.fillText(seconds(latencyMs), (x + end) / 2, LATENCY_Y - 6);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {string} colour
 * @param {string} ground
 */
function paintCuts(context, { from, to, pxPerMs, bargeIns }, colour, ground) {
  context.textAlign = 'left';
  for (const { at, heardMs, reportedMs } of bargeIns) {
    const x = Math.round(at * pxPerMs);
    const report = reportedMs === undefined ? '' : ` · server: ${seconds(reportedMs)}`;
    const label = `cut after ${seconds(heardMs)}${report}`;
    const width = context.measureText(label).width + 16;
    context.fillStyle = colour;
    context.fillRect(x - 1, 12, 2, ASSISTANT_Y + LANE_PX / 2 - 12);
    // As much of it as there is room for, next to its line.
    const left = x >= from && x <= to ? Math.max(from, Math.min(x - 1, to - width)) : x - 1;
    context.beginPath();
    context.roundRect(left, 2, width, 22, 5);
    context.fill();
    context.fillStyle = ground;
    context.fillText(label, left + 8, 14);
  }
}

/**
 * `65000` as `1:05`.
 *
 * @param {number} ms
 */
export function clock(ms) {
  const s = Math.floor(ms / 1_000);
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}`;
}

/**
 * `1234` as `1.23 s`.
 *
 * @param {number} ms
 */
export function seconds(ms) {
  return `${(ms / 1_000).toFixed(2)} s`;
}
