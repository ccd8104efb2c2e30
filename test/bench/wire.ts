import type { RawData } from 'ws';

// The messages that the peers send, built from strings that are ready, and read without parsing.

/** How much audio is in a frame of Twilio's, and in a delta of OpenAI's, in ms. */
export const FRAME_MS = 20;
export const DELTA_MS = 400;

/** Each payload begins with this, its sender (4 digits) and its number (8 digits), all of it valid base64. */
const TAG = 'BenchTag';
const TAG_LENGTH = 20;

const framePayload = Buffer.alloc(FRAME_MS * 8, 0x55)
  .toString('base64')
  .slice(TAG_LENGTH);
const deltaPayload = Buffer.alloc(DELTA_MS * 8, 0x55)
  .toString('base64')
  .slice(TAG_LENGTH);

/** Who sent a payload, and which of theirs it is, counted from 0 or more. */
export interface Tag {
  sender: number;
  number: number;
}

function digits(value: number, count: number): string {
  return String(value).padStart(count, '0');
}

function tag({ sender, number }: Tag): string {
  return TAG + digits(sender, 4) + digits(number, 8);
}

/** The tag of the payload in `data`, wherever in the message it is; undefined if there is none. */
export function readTag(data: RawData): Tag | undefined {
  if (!(data instanceof Buffer)) return undefined;
  const at = data.indexOf(TAG, 0, 'latin1');
  if (at < 0) return undefined;
  const start = at + TAG.length;
  return { sender: readDigits(data, start, start + 4), number: readDigits(data, start + 4, start + 12) };
}

function readDigits(data: Buffer, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at += 1) value = value * 10 + (data[at] ?? 0) - 48;
  return value;
}

export const CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}';

export function start(streamSid: string, callSid: string, token: string): string {
  return JSON.stringify({
    event: 'start',
    sequenceNumber: '1',
    start: {
      accountSid: `AC${'0'.repeat(32)}`,
      streamSid,
      callSid,
      tracks: ['inbound'],
      mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 },
      customParameters: { token },
    },
    streamSid,
  });
}

/** Twilio's frame number `chunk` of a stream, from 1. */
export function media(streamSid: string, sequence: number, sender: number, chunk: number): string {
  const payload = tag({ sender, number: chunk }) + framePayload;
  return `{"event":"media","sequenceNumber":"${sequence}","media":{"track":"inbound","chunk":"${chunk}","timestamp":"${chunk * FRAME_MS}","payload":"${payload}"},"streamSid":"${streamSid}"}`;
}

export function markEcho(streamSid: string, sequence: number, name: string): string {
  return `{"event":"mark","sequenceNumber":"${sequence}","streamSid":"${streamSid}","mark":{"name":"${name}"}}`;
}

export function stop(streamSid: string, callSid: string, sequence: number): string {
  return `{"event":"stop","sequenceNumber":"${sequence}","stop":{"accountSid":"AC${'0'.repeat(32)}","callSid":"${callSid}"},"streamSid":"${streamSid}"}`;
}

/** OpenAI's delta `number` of a session, in response `reply`; IDs are as long as OpenAI's. */
export function delta(sender: number, number: number, reply: number): string {
  const id = digits(sender, 8);
  const payload = tag({ sender, number }) + deltaPayload;
  return `{"type":"response.output_audio.delta","event_id":"event_DeltaDeltaXyz${digits(number, 8)}","response_id":"resp_R${id}${digits(reply, 12)}","item_id":"item_A${id}${digits(reply, 12)}","output_index":0,"content_index":0,"delta":"${payload}"}`;
}

/** `session.created` or `session.updated`, with the audio `format` both ways. */
export function sessionEvent(type: string, id: string, format: object): string {
  const session = {
    type: 'realtime',
    object: 'realtime.session',
    id,
    model: 'gpt-realtime-2.1',
    output_modalities: ['audio'],
    expires_at: Math.floor(Date.now() / 1_000) + 3_600,
    audio: { input: { format }, output: { format, voice: 'marin', speed: 1 } },
  };
  return JSON.stringify({ type, event_id: `event_${'E'.repeat(21)}`, session });
}
