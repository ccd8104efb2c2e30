import { BASE64, isAudio, isPadded } from './audio.ts';
import { isObject, parseObject } from './json.ts';

// Media Streams on the wire: https://www.twilio.com/docs/voice/media-streams/websocket-messages

/** How a stream's audio is encoded; `sampleRate` is in Hz. */
export interface MediaFormat {
  encoding: string;
  sampleRate: number;
  channels: number;
}

/** A stream begins; `customParameters` are those that the TwiML gave it. */
export interface Start {
  event: 'start';
  streamSid: string;
  start: { callSid: string; mediaFormat: MediaFormat; customParameters: Record<string, string> };
}

/** What Twilio sends, reduced to the fields that are read; `timestamp` is in ms since the stream began. */
export type TwilioMessage =
  | { event: 'connected' }
  | Start
  | { event: 'media'; streamSid: string; media: { timestamp: number; payload: string } }
  | { event: 'dtmf'; streamSid: string; dtmf: { digit: string } }
  | { event: 'mark'; streamSid: string; mark: { name: string } }
  | { event: 'stop'; streamSid: string };

/** What Twilio takes, with exactly the documented keys: any other key makes it drop the message (31951). */
export type TwilioCommand =
  | { event: 'media'; streamSid: string; media: { payload: string } }
  | { event: 'mark'; streamSid: string; mark: { name: string } }
  | { event: 'clear'; streamSid: string };

/** Whether a stream has the only format that Twilio documents, and that is relayed. */
export function isPhoneAudio({ encoding, sampleRate, channels }: MediaFormat): boolean {
  return encoding === 'audio/x-mulaw' && sampleRate === 8_000 && channels === 1;
}

/** The media frame exactly as Twilio writes it, fifty times a second. */
const MEDIA_FRAME = new RegExp(
  String.raw`^\{"event":"media","sequenceNumber":"\d{1,15}","media":\{"track":"inbound","chunk":"\d{1,15}","timestamp":"(?<timestamp>\d{1,15})","payload":"(?<payload>${BASE64})"\},"streamSid":"(?<streamSid>\w+)"\}$`,
);

/** Reads one text frame of Twilio's; undefined for whatever isn't a documented message. Never throws. */
export function parseTwilioMessage(data: Buffer): TwilioMessage | undefined {
  const { timestamp, payload, streamSid } = MEDIA_FRAME.exec(data.toString('latin1'))?.groups ?? {};
  if (streamSid === undefined || payload === undefined || !isPadded(payload)) {
    return parseAnyMessage(data.toString());
  }
  return { event: 'media', streamSid, media: { timestamp: Number(timestamp), payload } };
}

function parseAnyMessage(text: string): TwilioMessage | undefined {
  const message = parseObject(text);
  if (message === undefined) return undefined;
  const { event, streamSid } = message;
  if (event === 'connected') return { event };
  if (typeof streamSid !== 'string') return undefined;

  switch (event) {
    case 'start':
      return parseStart(streamSid, message.start);
    case 'media': {
      const { media } = message;
      if (!isObject(media) || (media.track !== undefined && media.track !== 'inbound')) return undefined;
      const { timestamp, payload } = media;
      if (typeof timestamp !== 'string' || !/^\d{1,15}$/.test(timestamp) || !isAudio(payload))
        return undefined;
      return { event, streamSid, media: { timestamp: Number(timestamp), payload } };
    }
    case 'dtmf': {
      const { dtmf } = message;
      if (!isObject(dtmf) || typeof dtmf.digit !== 'string') return undefined;
      return { event, streamSid, dtmf: { digit: dtmf.digit } };
    }
    case 'mark': {
      const { mark } = message;
      if (!isObject(mark) || typeof mark.name !== 'string') return undefined;
      return { event, streamSid, mark: { name: mark.name } };
    }
    case 'stop':
      return { event, streamSid };
    default:
      return undefined;
  }
}

function parseStart(streamSid: string, start: unknown): Start | undefined {
  if (!isObject(start) || typeof start.callSid !== 'string' || !isObject(start.mediaFormat)) return undefined;
  const { encoding, sampleRate, channels } = start.mediaFormat;
  if (typeof encoding !== 'string' || typeof sampleRate !== 'number' || typeof channels !== 'number') {
    return undefined;
  }
  const customParameters: Record<string, string> = {};
  if (isObject(start.customParameters)) {
    for (const [name, value] of Object.entries(start.customParameters)) {
      if (typeof value === 'string') customParameters[name] = value;
    }
  }
  const { callSid } = start;
  const mediaFormat = { encoding, sampleRate, channels };
  return { event: 'start', streamSid, start: { callSid, mediaFormat, customParameters } };
}

/** The text frame for `command`. */
export function encodeTwilioCommand(command: TwilioCommand): Buffer {
  if (command.event !== 'media') return Buffer.from(JSON.stringify(command));
  const { streamSid, media } = command;
  const head = `{"event":"media","streamSid":${JSON.stringify(streamSid)},"media":{"payload":"`;
  return Buffer.from(`${head}${media.payload}"}}`);
}
