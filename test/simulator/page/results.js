// @ts-check
import { seconds } from './paint.js';

/** @typedef {import('../report.ts').CallReport} CallReport */

const MOST_LINES = 500;

/** @param {string} id */
export function element(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`The page has no ${id}.`);
  return found;
}

/**
 * Shows the figures and the table of turns and cuts.
 *
 * @param {CallReport} report
 * @param {number} began the stream's start, in ms after the call was placed
 */
export function showReport({ firstSoundMs, medianMs, turns, bargeIns }, began) {
  element('first-word').textContent = orDash(firstSoundMs);
  element('median').textContent = orDash(medianMs);
  element('turn-count').textContent = String(turns.length);
  element('barge-in-count').textContent = String(bargeIns.length);
  const rows = [
    ...turns.map(({ endedAt, speechMs, latencyMs }) => ({
      at: endedAt - speechMs,
      cells: row(endedAt - speechMs - began, `You speak for ${seconds(speechMs)}`, orDash(latencyMs)),
    })),
    ...bargeIns.map(({ at, heardMs, unheardMs, reportedMs }) => {
      const reported = reportedMs === undefined ? '' : `, ${seconds(reportedMs)} by the server’s report`;
      const what = `Cut after ${seconds(heardMs)}${reported}; ${seconds(unheardMs)} unheard`;
      return { at, cells: row(at - began, what) };
    }),
  ];
  element('turns').replaceChildren(...rows.sort((a, b) => a.at - b.at).map(({ cells }) => cells));
  element('no-turns').hidden = rows.length > 0;
}

/**
 * @param {string} who
 * @param {number} at in ms after the call was placed
 * @param {string} text
 */
export function addLine(who, at, text) {
  const log = element('log');
  const line = document.createElement('li');
  line.className = who;
  for (const part of [seconds(at), who, text]) {
    const span = document.createElement('span');
    span.textContent = part;
    line.append(span, ' ');
  }
  log.append(line);
  if (log.children.length > MOST_LINES) log.firstElementChild?.remove();
  log.scrollTop = log.scrollHeight;
  element('no-log').hidden = true;
}

export function clearLog() {
  element('log').replaceChildren();
  element('no-log').hidden = false;
}

/** @param {string} path of a WAV */
export function showRecording(path) {
  const player = new Audio(path);
  player.controls = true;
  player.setAttribute('aria-label', 'The recording, you on the left');
  const save = document.createElement('a');
  save.className = 'button';
  save.href = path;
  save.download = 'call.wav';
  save.textContent = 'Save as WAV';
  element('recording').replaceChildren(player, save);
  element('recording').hidden = false;
}

export function hideRecording() {
  element('recording').replaceChildren();
  element('recording').hidden = true;
}

/**
 * @param {number} at
 * @param {string} what
 * @param {string} [answer] none for a cut
 */
function row(at, what, answer) {
  const added = document.createElement('tr');
  for (const text of [seconds(at), what, answer]) {
    if (text === undefined) continue;
    const cell = added.insertCell();
    cell.textContent = text;
  }
  if (answer !== undefined) return added;
  added.className = 'cut';
  added.cells[1]?.setAttribute('colspan', '2');
  return added;
}

/** @param {number | undefined} ms */
function orDash(ms) {
  return ms === undefined ? '–' : seconds(ms);
}
