import { BASE64, isAudio, isPadded } from './audio.ts';
import { asObject, asText, isObject, isSid, type JsonObject, parseObject, texts } from './json.ts';

// Media Streams on the wire: https://www.twilio.com/docs/voice/media-streams/websocket-messages

export interface MediaFormat {
  encoding: string | undefined;
  sampleRate: number | undefined;
  channels: number | undefined;
}

/** The start of a stream, with the `customParameters` of its TwiML. */
export interface Start {
  event: 'start';
  streamSid: string;
  start: { callSid: string; mediaFormat: MediaFormat; customParameters: Record<string, string> };
}

/** Twilio's messages, reduced to the fields that are read; `timestamp` is in ms since the start. */
export type TwilioMessage =
  | { event: 'connected' }
  | Start
  | { event: 'media'; streamSid: string; media: { timestamp: number; payload: string } }
  | { event: 'dtmf'; streamSid: string; dtmf: { digit: string } }
  | { event: 'mark'; streamSid: string; mark: { name: string } }
  | { event: 'stop'; streamSid: string };

/** Messages to Twilio, with exactly the documented keys: it drops a message with any other key (31951). */
export type TwilioCommand =
  | { event: 'media'; streamSid: string; media: { payload: string } }
  | { event: 'mark'; streamSid: string; mark: { name: string } }
  | { event: 'clear'; streamSid: string };

/** Whether `format` is the only one that Twilio documents. */
export function isPhoneAudio({ encoding, sampleRate, channels }: MediaFormat): boolean {
  return encoding === 'audio/x-mulaw' && sampleRate === 8_000 && channels === 1;
}

/** The media frame exactly as Twilio writes it. Groups have no names: those cost an object for each frame. */
const MEDIA_FRAME = new RegExp(
  String.raw`^\{"event":"media","sequenceNumber":"\d{1,15}","media":\{"track":"inbound","chunk":"\d{1,15}","timestamp":"(\d{1,15})","payload":"(${BASE64})"\},"streamSid":"(\w{1,200})"\}$`,
);

/** Returns the message in one text frame; undefined for anything undocumented. Never throws. */
export function parseTwilioMessage(data: Buffer): TwilioMessage | undefined {
  const [, timestamp, payload, streamSid] = MEDIA_FRAME.exec(data.toString('latin1')) ?? [];
  if (streamSid === undefined || payload === undefined || !isPadded(payload)) {
    return parseAnyMessage(parseObject(data.toString()) ?? {});
  }
  return { event: 'media', streamSid, media: { timestamp: Number(timestamp), payload } };
}

function parseAnyMessage(message: JsonObject): TwilioMessage | undefined {
  const { event, streamSid } = message;
  if (event === 'connected') return { event };
  if (!isSid(streamSid)) return undefined;

  switch (event) {
    case 'start': {
      const { callSid, mediaFormat, customParameters } = asObject(message.start);
      if (!isSid(callSid) || !isObject(mediaFormat)) return undefined;
      const { encoding, sampleRate, channels } = mediaFormat;
      const format = {
        encoding: asText(encoding),
        sampleRate: typeof sampleRate === 'number' ? sampleRate : undefined,
        channels: typeof channels === 'number' ? channels : undefined,
      };
      const parameters = texts(customParameters);
      return { event, streamSid, start: { callSid, mediaFormat: format, customParameters: parameters } };
    }
    case 'media': {
      const { track = 'inbound', timestamp, payload } = asObject(message.media);
      if (track !== 'inbound' || !isAudio(payload)) return undefined;
      if (typeof timestamp !== 'string' || !/^\d{1,15}$/.test(timestamp)) return undefined;
      return { event, streamSid, media: { timestamp: Number(timestamp), payload } };
    }
    case 'dtmf': {
      const { digit } = asObject(message.dtmf);
      if (typeof digit !== 'string' || !/^[0-9A-D*#]$/.test(digit)) return undefined;
      return { event, streamSid, dtmf: { digit } };
    }
    case 'mark': {
      const { name } = asObject(message.mark);
      return typeof name === 'string' ? { event, streamSid, mark: { name } } : undefined;
    }
    case 'stop':
      return { event, streamSid };
    default:
      return undefined;
  }
}

export function encodeTwilioCommand(command: TwilioCommand): Buffer {
  if (command.event !== 'media') return Buffer.from(JSON.stringify(command));
  const { streamSid, media } = command;
  const head = `{"event":"media","streamSid":${JSON.stringify(streamSid)},"media":{"payload":"`;
  return Buffer.from(`${head}${media.payload}"}}`, 'latin1');
}
