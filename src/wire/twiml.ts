// The documents that Twilio is given: https://www.twilio.com/docs/voice/twiml

/**
 * Connects the call to a Media Stream; when this server closes the stream, Twilio asks `actionUrl` how to go on.
 *
 * No <Say> comes first: the assistant itself greets the caller. Twilio takes no query string in `streamUrl`: what the
 * stream must bring along is a parameter, of 500 characters at most with its name.
 */
export function connectStream(streamUrl: string, actionUrl: string, token?: string): string {
  const parameter = token === undefined ? '' : `<Parameter name="token" value="${escapeXml(token)}"/>`;
  return twiml(
    `<Connect action="${escapeXml(actionUrl)}"><Stream url="${escapeXml(streamUrl)}">${parameter}</Stream></Connect>`,
  );
}

/** Ends the call, after a last sentence if there is one. */
export function hangUp(sentence?: string): string {
  return twiml(`${sentence === undefined ? '' : `<Say>${escapeXml(sentence)}</Say>`}<Hangup/>`);
}

/** Has the caller hear that the line is busy. */
export function rejectAsBusy(): string {
  return twiml('<Reject reason="busy"/>');
}

/** Has Twilio ask `url` once more in a second, before it answers the call. */
export function askAgain(url: string): string {
  return twiml(`<Pause length="1"/><Redirect>${escapeXml(url)}</Redirect>`);
}

function twiml(verbs: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Response>${verbs}</Response>\n`;
}

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}
