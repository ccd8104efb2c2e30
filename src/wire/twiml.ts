// TwiML documents: https://www.twilio.com/docs/voice/twiml

/**
 * Connects the call to a Media Stream, after the verbs `before`. When this server closes the stream, Twilio asks `actionUrl`.
 *
 * `streamUrl` has no query string: Twilio rejects it. A parameter has 500 characters at most, with its name.
 */
export function connectStream(
  streamUrl: string,
  actionUrl: string,
  parameters: Record<string, string>,
  before = '',
): string {
  const elements = Object.entries(parameters).map(
    ([name, value]) => `<Parameter${attribute('name', name)}${attribute('value', value)}/>`,
  );
  const stream = `<Stream${attribute('url', streamUrl)}>${elements.join('')}</Stream>`;
  return twiml(`${before}<Connect${attribute('action', actionUrl)}>${stream}</Connect>`);
}

/**
 * What Twilio is to do when this server has closed a call's stream: hang up, perhaps after a sentence, or dial; undefined
 * if Twilio closed it, and asks nothing.
 */
export type NextStep =
  | undefined
  | { say: string | undefined; as?: SayOptions | undefined }
  | { dial: string; callerId: string | undefined; query: Record<string, string> };

/** Takes the next step. After a `<Dial>` to a number or a `sip:` address, Twilio asks `dialledUrl` with the step's query. */
export function takeStep(next: NextStep, dialledUrl: string): string {
  if (next === undefined || 'say' in next) return hangUp(next?.say, next?.as);
  const { dial, callerId, query } = next;
  const noun = dial.startsWith('sip:') ? 'Sip' : 'Number';
  const attributes =
    attribute('callerId', callerId) + attribute('action', `${dialledUrl}?${new URLSearchParams(query)}`);
  return twiml(
    `<Dial answerOnBridge="true" timeout="25"${attributes}><${noun}>${escapeXml(dial)}</${noun}></Dial>`,
  );
}

/** How Twilio says a text: a language such as `de-DE`, and a voice: https://www.twilio.com/docs/voice/twiml/say */
export interface SayOptions {
  language?: string | undefined;
  voice?: string | undefined;
}

/** Returns a `<Say>` for `twiml`, with the text escaped. */
export function say(text: string, { language, voice }: SayOptions = {}): string {
  return `<Say${attribute('language', language)}${attribute('voice', voice)}>${escapeXml(text)}</Say>`;
}

const ENTITY = '&(?:amp|lt|gt|quot|apos|#\\d+|#x[\\da-fA-F]+);';
const NAME = '[A-Za-z][\\w.-]*';
const VALUE = `"(?:[^"<&]|${ENTITY})*"|'(?:[^'<&]|${ENTITY})*'`;
const ATTRIBUTES = `(?:\\s+[\\w:.-]+\\s*=\\s*(?:${VALUE}))*\\s*`;
/** A comment, text, or a tag; one after the other. */
const PIECE = new RegExp(
  `<!--(?:(?!--)[^])*-->|[^<&]+|${ENTITY}|</(?<close>${NAME})\\s*>|<(?<open>${NAME})${ATTRIBUTES}(?<empty>/)?>`,
  'gy',
);

export function isWellFormed(verbs: string): boolean {
  const parents: string[] = [];
  let length = 0;
  for (const [piece, ...rest] of verbs.matchAll(PIECE)) {
    const [close, open, empty] = rest;
    length += piece.length;
    if (close !== undefined && parents.pop() !== close) return false;
    if (open !== undefined && empty === undefined) parents.push(open);
  }
  return length === verbs.length && parents.length === 0;
}

export function hangUp(sentence?: string, as?: SayOptions): string {
  return twiml(`${sentence === undefined ? '' : say(sentence, as)}<Hangup/>`);
}

/** Rejects the call: the caller hears busy. */
export function rejectAsBusy(): string {
  return twiml('<Reject reason="busy"/>');
}

/** Has Twilio ask `url` once more after so many seconds, before it answers the call. */
export function askAgain(url: string, seconds: number): string {
  return twiml(`<Pause length="${seconds}"/><Redirect>${escapeXml(url)}</Redirect>`);
}

/** A document without characters that XML 1.0 doesn't have: https://www.w3.org/TR/xml/#charsets */
function twiml(text: string): string {
  const verbs = text
    .toWellFormed()
    .replace(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, '');
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Response>${verbs}</Response>\n`;
}

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};

function attribute(name: string, value: string | undefined): string {
  return value === undefined ? '' : ` ${name}="${escapeXml(value)}"`;
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}
