// The documents that Twilio is given: https://www.twilio.com/docs/voice/twiml

/**
 * Connects the call to a Media Stream; when this server closes the stream, Twilio asks `actionUrl` how to go on.
 *
 * No <Say> comes first: the assistant itself greets the caller. Twilio drops query strings from `streamUrl`.
 */
export function connectStream(streamUrl: string, actionUrl: string): string {
  return twiml(`<Connect action="${escapeXml(actionUrl)}"><Stream url="${escapeXml(streamUrl)}"/></Connect>`);
}

/** Ends the call. */
export function hangUp(): string {
  return twiml('<Hangup/>');
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
