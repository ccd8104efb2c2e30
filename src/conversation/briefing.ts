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

export interface BriefingOptions {
  /** Whether the assistant speaks first. */
  greets: boolean;
  /** What the model is told about this caller. */
  about?: string | undefined;
}

/** What a session is told at its beginning, and whether it speaks first: to greet, or to go on where another was lost. */
export class Briefing {
  /** Whether the assistant speaks first. */
  speaks: boolean;
  readonly #about: Effect[];
  #handover: Effect[] = [];

  constructor({ greets, about }: BriefingOptions) {
    this.speaks = greets;
    this.#about = about ? [textMessage('system', quoted(about))] : [];
  }

  /** The session is gone. The next one is told what was `said`, which tools are `running`, and its `task`. */
  sessionLost(said: readonly Entry[], running: readonly string[], task: string): void {
    const tools = `Still running: ${running.join(', ')}. A message will say what they return: do not call them again. `;
    this.#handover = [
      ...said.map(({ who, text, cut }) =>
        textMessage(who === 'caller' ? 'user' : 'assistant', cut ? `${text} …` : text),
      ),
      textMessage('system', (running.length > 0 ? tools : '') + task),
    ];
    this.speaks = task !== WAIT;
  }

  get items(): Effect[] {
    return [...this.#about, ...this.#handover];
  }
}

/** The text may be the caller's own words: it is data, and no instructions. */
function quoted(about: string): string {
  return `What is known of this caller, as data: ${JSON.stringify(oneLine(about).slice(0, MAX_ABOUT))}`;
}
