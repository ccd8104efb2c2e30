import { loggable } from '../../src/wire/loggable.ts';
import type { CallerEvent } from './caller.ts';
import type { ParrotEvent } from './parrot.ts';
import { readDial, unescapeXml } from './webhook.ts';

/** Limits of a printed line, and of a text that is quoted in it, in characters. */
const LINE_CHARACTERS = 400;
const TEXT_CHARACTERS = 100;

/** Prints a call's events, one a line, with the time since it began. */
export class Narrator {
  readonly #began = performance.now();

  /** Ends the process quietly when its output is closed, as in `npm run call | head`. */
  constructor() {
    process.stdout.on('error', () => process.exit(0));
  }

  tell(text: string): void {
    console.log(
      `${seconds(performance.now() - this.#began).padStart(8)}  ${loggable(text, LINE_CHARACTERS)}`,
    );
  }
}

/** The beginning of a text, in one line. */
function excerpt(text: string): string {
  return loggable(text.trim().replace(/\s+/g, ' '), TEXT_CHARACTERS);
}

/** An event at Twilio's end, as the caller's doing. */
export function callerLine(event: CallerEvent): string {
  switch (event.type) {
    case 'answered':
      return answeredLine(event.twiml);
    case 'stream-started':
      return 'is connected';
    case 'speech-started':
      return event.isOverAssistant ? 'talks over the assistant' : 'begins to speak';
    case 'speech-stopped':
      return `has spoken for ${seconds(event.speechMs)}`;
    case 'pressed':
      return `presses ${[...event.digits].join(' ')}`;
    case 'first-sound':
      return 'hears the assistant';
    case 'silence':
      return 'hears silence';
    case 'cleared':
      return `hears the assistant stop after ${seconds(event.heardMs)}, with ${seconds(event.unheardMs)} unheard`;
    case 'warning':
      return `would have Twilio warn: ${event.code} ${event.detail}`;
    case 'closed':
      if (event.by === 'caller') return 'hangs up';
      if (event.by === 'rejected') return `is not connected: ${event.reason}`;
      return `has the stream closed: ${event.code} ${event.reason}`.trim();
    case 'twiml':
      return twimlLine(event.twiml);
  }
}

function answeredLine(twiml: string): string {
  if (twiml.includes('<Reject reason="busy"/>')) return 'hears that the line is busy';
  const words = wordsIn(twiml);
  return words === undefined ? 'is answered' : `is answered, and told: ${words}`;
}

function twimlLine(twiml: string): string {
  const dial = readDial(twiml);
  if (dial !== undefined) {
    return `is put through to ${dial.to}, where ${dial.callerId ?? "the caller's own number"} is shown`;
  }
  const words = wordsIn(twiml);
  return words === undefined && twiml.includes('<Hangup/>')
    ? 'is hung up on'
    : `is told: ${words ?? 'nothing'}`;
}

/** The words of TwiML's `<Say>`; undefined if it has none. */
export function wordsIn(twiml: string): string | undefined {
  const words = Array.from(twiml.matchAll(/<Say\b[^>]*>(?<words>[^<]*)/g), ([, said = '']) =>
    unescapeXml(said),
  );
  return words.length === 0 ? undefined : words.join(' ');
}

/** An event at OpenAI's end, as the parrot's doing. */
export function parrotLine(event: ParrotEvent): string {
  switch (event.type) {
    case 'session-ready':
      return `is ready, with ${event.tools.join(', ') || 'no tools'}, and the instructions: ${excerpt(event.instructions)}`;
    case 'told':
      return `is told: ${excerpt(event.text)}`;
    case 'speech-started':
      return 'hears speech';
    case 'speech-stopped':
      return `has heard ${seconds(event.turnMs)} of speech`;
    case 'reply-started':
      return 'begins to speak';
    case 'reply-done':
      return `has sent ${seconds(event.ms)} of speech`;
    case 'truncated':
      return `learns that ${seconds(event.audioEndMs)} of it was heard`;
    case 'keys-heard':
      return `hears of the keys ${event.digits}`;
    case 'tool-called':
      return `calls ${event.name} ${excerpt(JSON.stringify(event.args))}`;
    case 'tool-answered':
      return `has the output of ${event.name} after ${seconds(event.ms)}: ${excerpt(event.output)}`;
    case 'error':
      return `objects: ${event.message}`;
    case 'closed':
      return `has left (${event.code})`;
  }
}

export function only<E extends { type: string }, T extends E['type']>(
  events: E[],
  type: T,
): Extract<E, { type: T }>[] {
  return events.filter((event): event is Extract<E, { type: T }> => event.type === type);
}

/** The time from the stream's start to the first sound, in ms; NaN without one. */
export function timeToFirstSound(events: CallerEvent[]): number {
  const at = (type: CallerEvent['type']) => events.find((event) => event.type === type)?.at ?? Number.NaN;
  return at('first-sound') - at('stream-started');
}

/** `1234` as `1.23 s`. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

/** The lines of a table, one pair a line. */
export function table(rows: Record<string, string>): string {
  const width = Math.max(...Object.keys(rows).map((name) => name.length));
  return Object.entries(rows)
    .map(([name, value]) => `  ${name.padEnd(width)}  ${value}`)
    .join('\n');
}
