// @ts-check
import { loudness, Meter, rootMeanSquare } from './meter.js';
import { clock } from './paint.js';
import { addLine, clearLog, element, hideRecording, showRecording, showReport } from './results.js';
import { Telephone, whyNoCall } from './telephone.js';
import { Timeline } from './timeline.js';

/** @typedef {import('../handset.ts').ToPage} ToPage */
/** @typedef {import('../report.ts').CallReport} CallReport */

/** @type {Record<string, string>} */
const LETTERS = { 2: 'abc', 3: 'def', 4: 'ghi', 5: 'jkl', 6: 'mno', 7: 'pqrs', 8: 'tuv', 9: 'wxyz' };
const KEYS = [...'123456789*0#'];
/**
 * The step of each arrow on the keypad, which has three keys in a row.
 *
 * @type {Record<string, number>}
 */
const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -3, ArrowDown: 3 };
/** The time that a typed key lights up. */
const LIT_MS = 200;
const NO_LINE = `The telephone has no line: npm run phone isn't running any more. Start it again.`;

const state = element('state');
const callButton = element('call');
const muteButton = /** @type {HTMLButtonElement} */ (element('mute'));
const raw = /** @type {HTMLInputElement} */ (element('raw'));
const keypad = /** @type {HTMLFieldSetElement} */ (element('keypad'));
const keys = KEYS.map(keyButton);
const lanes = /** @type {HTMLCanvasElement} */ (element('lanes'));
const timeline = new Timeline(element('scroller'), element('length'), lanes);
const callerMeter = new Meter(/** @type {HTMLMeterElement} */ (element('caller-level')));
const assistantMeter = new Meter(/** @type {HTMLMeterElement} */ (element('assistant-level')));

/** @type {Telephone | undefined} */
let telephone;
let isCalling = false;
let attempts = 0;
/** The stream's start, in ms after the call was placed. */
let began = 0;

showLine();
element('keys').append(...keys);
stopAt(keys[0]);
showCalling('Ready', false);

callButton.addEventListener('click', () => {
  if (!isCalling) void call();
  else if (telephone === undefined) endCall();
  else telephone.hangUp();
});
muteButton.addEventListener('click', () => {
  if (telephone === undefined) return;
  telephone.isMuted = !telephone.isMuted;
  showMuted(telephone.isMuted);
});
document.addEventListener('keydown', ({ key, repeat, ctrlKey, metaKey, altKey }) => {
  if (KEYS.includes(key) && !repeat && !ctrlKey && !metaKey && !altKey) type(key);
});

async function showLine() {
  const line = await (await fetch('/line')).json();
  const code = document.createElement('code');
  code.textContent = line.url;
  element('line').append('Calls ', code, line.isParrot ? ', where a parrot answers' : '');
}

async function call() {
  clearCall();
  showCalling('Calling…', true);
  tell('Calling.');
  attempts += 1;
  const attempt = attempts;
  try {
    const lifted = await Telephone.lift(raw.checked);
    // The visitor hung up while the browser asked for the microphone.
    if (!isCalling || attempt !== attempts) {
      lifted.putDown();
      return;
    }
    telephone = lifted;
    telephone.dial({ onMoment, onMessage, onLost: () => endCall(NO_LINE) });
  } catch (error) {
    if (attempt === attempts) endCall(whyNoCall(error));
  }
}

/** @param {ToPage} message */
function onMessage(message) {
  if (message.type === 'over') {
    endCall(message.trouble, message.wav);
    return;
  }
  const { who, kind, at, line, report, say } = message;
  if (kind === 'stream-started') {
    began = at;
    showCalling('On the line', true, true);
  }
  if (kind === 'pressed') timeline.press(at, line.replace('presses ', ''));
  if (kind === 'first-sound') timeline.sound(at);
  addLine(who, at, line);
  show(report);
  if (kind === 'stream-started') tell('Connected.');
  if (kind === 'cleared') tell('You cut in: the assistant stopped.');
  // Not every browser has a voice; the log has the words, too.
  if (say !== undefined && 'speechSynthesis' in window) {
    speechSynthesis.speak(new SpeechSynthesisUtterance(say));
  }
}

/**
 * @param {number} level of the caller, as a root mean square of 16-bit samples
 * @param {Int16Array} heard
 */
function onMoment(level, heard) {
  const caller = loudness(level);
  const assistant = loudness(rootMeanSquare(heard));
  timeline.add(caller, assistant);
  callerMeter.show(caller);
  assistantMeter.show(assistant);
  element('clock').textContent = clock(timeline.ms);
}

/**
 * @param {string} [trouble]
 * @param {string} [wav]
 */
function endCall(trouble, wav) {
  if (!isCalling) return;
  telephone = undefined;
  showCalling(trouble === undefined ? 'Call over' : 'No call', false);
  if (trouble !== undefined && timeline.ms > 0) state.textContent = 'Call lost';
  element('trouble').textContent = trouble ?? '';
  element('trouble').hidden = trouble === undefined;
  callerMeter.rest();
  assistantMeter.rest();
  timeline.finish();
  if (wav !== undefined) showRecording(wav);
  tell(`${state.textContent}.`);
}

function clearCall() {
  began = 0;
  timeline.clear();
  clearLog();
  element('trouble').hidden = true;
  hideRecording();
  element('clock').textContent = clock(0);
  show({ turns: [], bargeIns: [] });
}

/**
 * @param {string} text
 * @param {boolean} isOn
 * @param {boolean} [isConnected]
 */
function showCalling(text, isOn, isConnected = false) {
  isCalling = isOn;
  state.textContent = text;
  document.body.dataset.state = isConnected ? 'connected' : isOn ? 'calling' : 'idle';
  callButton.textContent = isOn ? 'Hang up' : 'Call';
  const wasFocused = document.activeElement === muteButton || keypad.contains(document.activeElement);
  muteButton.disabled = !isConnected;
  raw.disabled = isOn;
  keypad.disabled = !isConnected;
  showMuted(false);
  // A disabled element loses the focus, and keyboard users their place.
  if (wasFocused && !isConnected) callButton.focus();
}

/** @param {boolean} isMuted */
function showMuted(isMuted) {
  muteButton.setAttribute('aria-pressed', String(isMuted));
  muteButton.textContent = isMuted ? 'Muted' : 'Mute';
  element('caller-label').textContent = isMuted ? 'You, muted' : 'You';
}

/** @param {CallReport} report */
function show(report) {
  showReport(report, began);
  timeline.mark(report, began);
  const count = `${report.turns.length} turns, ${report.bargeIns.length} barge-ins`;
  lanes.setAttribute('aria-label', `Timeline of the call: ${count}, told in the table and the log below`);
}

/** @param {string} text for screen readers */
function tell(text) {
  element('news').textContent = text;
}

/** @param {string} key that was typed */
function type(key) {
  if (keypad.disabled) return;
  telephone?.press(key);
  const button = keys[KEYS.indexOf(key)];
  button?.classList.add('lit');
  setTimeout(() => button?.classList.remove('lit'), LIT_MS);
}

/**
 * Makes a key of the keypad the one that Tab stops at.
 *
 * @param {HTMLButtonElement | undefined} button
 */
function stopAt(button) {
  for (const key of keys) key.tabIndex = key === button ? 0 : -1;
}

/** @param {string} key */
function keyButton(key) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = key;
  const letters = document.createElement('small');
  letters.textContent = LETTERS[key] ?? '';
  letters.setAttribute('aria-hidden', 'true');
  button.append(letters);
  button.addEventListener('click', () => telephone?.press(key));
  button.addEventListener('focus', () => stopAt(button));
  button.addEventListener('keydown', (event) => {
    const next = keys[keys.indexOf(button) + (STEPS[event.key] ?? Number.NaN)];
    if (next === undefined) return;
    event.preventDefault();
    next.focus();
  });
  return button;
}
