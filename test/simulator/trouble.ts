import type { CallEnd, CallerEvent } from './caller.ts';
import { only, wordsIn } from './narrator.ts';

/** Explains what went wrong with a call to `url`, and what to do; undefined if nothing did. */
export function troubleOf(end: CallEnd, events: CallerEvent[], url: string): string | undefined {
  if (end.by === 'caller') return undefined;
  if (end.by === 'rejected') return whyRejected(end, events, url);
  const twiml = only(events, 'twiml')[0]?.twiml;
  if (twiml === undefined) return `The server has gone (${end.code}). Is it still running at ${url}?`;
  const words = wordsIn(twiml);
  if (words === undefined) return undefined;
  return `The server ended the call (${end.code}), and said: “${words}” Its log says why.`;
}

function whyRejected({ httpStatus, reason }: CallEnd, events: CallerEvent[], url: string): string {
  if (httpStatus === 403) {
    return `The call was refused (403): TWILIO_AUTH_TOKEN or PUBLIC_URL is not the server's.
Set both as the server has them, in .env or in the environment, and start this again.`;
  }
  const twiml = only(events, 'answered')[0]?.twiml ?? '';
  if (twiml.includes('<Reject reason="busy"/>'))
    return 'The line is busy: all places are taken, or the assistant turned the call away. The log says which.';
  const words = wordsIn(twiml);
  if (words !== undefined) return `The server took no call, and said: “${words}” Its log says why.`;
  if (httpStatus !== undefined) return `The call was not taken: ${reason}.`;
  if (/certificate/i.test(reason))
    return `The certificate at ${url} is not trusted here. NODE_EXTRA_CA_CERTS names a file with one that is.`;
  return `No server answers at ${url}. Start one with  npm run dev`;
}
