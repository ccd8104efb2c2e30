import { isAudio } from '../../src/wire/audio.ts';
import { isObject, type JsonObject, parseObject } from '../../src/wire/json.ts';
import type { TwilioCommand } from '../../src/wire/twilio.ts';

/** Parses a server's message as strictly as Twilio: undefined for a key too many or too few (31951). */
export function readCommand(text: string, streamSid: string): TwilioCommand | undefined {
  const message = parseObject(text);
  if (message === undefined || message.streamSid !== streamSid) return undefined;
  const { event, media, mark } = message;
  if (event === 'clear' && hasKeys(message, 'event', 'streamSid')) return { event, streamSid };
  if (!hasKeys(message, 'event', 'streamSid', String(event))) return undefined;
  if (event === 'media' && hasKeys(media, 'payload')) {
    const { payload } = media;
    return isAudio(payload) ? { event, streamSid, media: { payload } } : undefined;
  }
  if (event === 'mark' && hasKeys(mark, 'name') && typeof mark.name === 'string') {
    return { event, streamSid, mark: { name: mark.name } };
  }
  return undefined;
}

function hasKeys(value: unknown, ...keys: string[]): value is JsonObject {
  return isObject(value) && Object.keys(value).sort().join() === keys.sort().join();
}
