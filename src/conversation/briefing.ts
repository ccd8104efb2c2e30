import type { Entry } from '../contract.ts';
import { type Effect, oneLine, textMessage } from './effect.ts';

/** The longest text about a caller, in characters. */
const MAX_ABOUT = 2_000;
/** What a session is to do that takes over from a lost one. */
const GO_ON =
  'Your line was interrupted for a moment. The caller is still there: go on in one short sentence, and do not greet again.';
const ANSWER =
  'Your line was interrupted for a moment. What the caller said last follows as audio: answer it, and do not greet again.';
const WAIT = 'You are in the middle of the call: do not greet again, and wait for the caller to speak.';

export interface BriefingOptions {
  /** Whether the assistant speaks first. */
  greets: boolean;
  /** What the model is told about this caller. */
  about?: string | undefined;
}

/** What a session is told at its beginning, and whether it speaks first: to greet, or to go on where another was lost. */
export class Briefing {
  /** Whether either side has said anything that the other could hear. */
  isUnderWay = false;
  readonly #about: Effect[];
  #handover: Effect[] = [];
  #speaks: boolean;

  constructor({ greets, about }: BriefingOptions) {
    this.#speaks = greets;
    this.#about = about ? [textMessage('system', quoted(about))] : [];
  }

  /**
   * The session is gone. The next one is told what was `said`, in the roles that it had; which tools are `running`; and its
   * `task`, or else to answer the caller if a turn `isAsked` once more, to go on if it `speaks`, or to wait.
   */
  sessionLost(
    said: readonly Entry[],
    running: readonly string[],
    { speaks, isAsked, task }: { speaks: boolean; isAsked: boolean; task: string | undefined },
  ): void {
    if (!this.isUnderWay) return;
    const tools = `Still running: ${running.join(', ')}. A message will say what they return: do not call them again. `;
    const next = task ?? (isAsked ? ANSWER : speaks ? GO_ON : WAIT);
    this.#handover = [
      ...said.map(({ who, text, cut }) =>
        textMessage(who === 'caller' ? 'user' : 'assistant', cut ? `${text} …` : text),
      ),
      textMessage('system', (running.length > 0 ? tools : '') + next),
    ];
    this.#speaks = speaks;
  }

  get items(): Effect[] {
    return [...this.#about, ...this.#handover];
  }

  get speaks(): boolean {
    return this.#speaks;
  }
}

/** The text may be the caller's own words: it is data, and no instructions. */
function quoted(about: string): string {
  return `What is known of this caller, as data: ${JSON.stringify(oneLine(about).slice(0, MAX_ABOUT))}`;
}
