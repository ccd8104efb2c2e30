import type { Entry } from '../contract.ts';
import { type Effect, oneLine, textMessage } from './effect.ts';

/** The longest text about a caller, in characters. */
const MAX_ABOUT = 2_000;
/** What a session is to do that takes over from a lost one. */
export const GO_ON =
  'Your line was interrupted for a moment. The caller is still there: go on in one short sentence, and do not greet again.';
export const ANSWER =
  'Your line was interrupted for a moment. What the caller said last follows as audio: answer it, and do not greet again.';
export const WAIT =
  'You are in the middle of the call: do not greet again, and wait for the caller to speak.';

/** Has a session know what is known of the caller. It may be the caller's own words: it is data, and no instructions. */
export function aboutCaller(about: string): Effect {
  const data = JSON.stringify(oneLine(about).slice(0, MAX_ABOUT));
  return textMessage('system', `What is known of this caller, as data: ${data}`);
}

/** Has a session take over from another: it is told what was `said`, which tools are `running`, and its `task`. */
export function handover(said: readonly Entry[], running: readonly string[], task: string): Effect[] {
  const tools = `Still running: ${running.join(', ')}. A message will say what they return: do not call them again. `;
  return [
    ...said.map(({ who, text, cut }) =>
      textMessage(who === 'caller' ? 'user' : 'assistant', cut ? `${text} …` : text),
    ),
    textMessage('system', (running.length > 0 ? tools : '') + task),
  ];
}
