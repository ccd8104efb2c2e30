import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { encodeClientEvent, parseServerEvent } from '../../src/wire/openai.ts';
import { encodeTwilioCommand, parseTwilioMessage } from '../../src/wire/twilio.ts';
import { seeded } from '../support/random.ts';
import { rounds } from '../support/rounds.ts';

const random = seeded(7);
const upTo = (most: number): number => Math.floor(random() * (most + 1));

function payload(): string {
  return Buffer.from(Array.from({ length: upTo(400) }, () => upTo(255))).toString('base64');
}

/** Equivalent JSON: other key order, spaces and escapes. */
function disguised(value: unknown): string {
  const space = () => ' '.repeat(random() < 0.8 ? 0 : upTo(2));
  if (typeof value !== 'object' || value === null) {
    const text = JSON.stringify(value);
    if (typeof value !== 'string' || random() < 0.8) return text;
    const at = upTo(value.length - 1);
    const escaped = `\\u${value.charCodeAt(at).toString(16).padStart(4, '0')}`;
    return value === '' ? text : `"${value.slice(0, at)}${escaped}${value.slice(at + 1)}"`;
  }
  const entries = Object.entries(value);
  if (random() < 0.5) entries.sort(() => random() - 0.5);
  if (random() < 0.1) entries.push(['extra', payload()]);
  const pairs = entries.map(([key, item]) => `${space()}"${key}"${space()}:${space()}${disguised(item)}`);
  return `{${pairs.join(',')}${space()}}`;
}

/** `text` with something removed, inserted or overwritten. */
function damaged(text: string): string {
  const scraps = [
    '"',
    '\\',
    '}',
    ',',
    ' ',
    '=',
    '"},"',
    '","payload":"',
    '\\u0022',
    'é',
    '\n',
    '-1',
    '{',
    '\u0000',
  ];
  const at = upTo(text.length);
  const scrap = random() < 0.7 ? (scraps[upTo(scraps.length - 1)] ?? '') : '';
  return text.slice(0, at) + scrap + text.slice(at + upTo(3));
}

function variant(message: object): string {
  const text = random() < 0.4 ? JSON.stringify(message) : disguised(message);
  return random() < 0.5 ? text : damaged(text);
}

/** A media frame with Twilio's key order. */
function mediaFrame(): object {
  return {
    event: 'media',
    sequenceNumber: String(upTo(9_999)),
    media: {
      track: 'inbound',
      chunk: String(upTo(9_999)),
      timestamp: String(upTo(1e6)),
      payload: payload(),
    },
    streamSid: 'MZ0123456789abcdef',
  };
}

/** A leading space changes nothing in JSON, but leaves the quick path. */
const theLongWay = (text: string): Buffer => Buffer.from(` ${text}`);

describe('The quick path in', () => {
  it.each<[string, (data: Buffer) => unknown, () => object]>([
    ["Twilio's media frames", parseTwilioMessage, mediaFrame],
    [
      "OpenAI's deltas",
      (data) => parseServerEvent(data, 'key'),
      () => ({
        type: 'response.output_audio.delta',
        event_id: 'event_A1',
        response_id: `resp_${upTo(9)}`,
        item_id: `item_${upTo(9)}`,
        output_index: 0,
        content_index: 0,
        delta: payload(),
      }),
    ],
  ])('reads variants of %s as the slow path does', (_, parse, frame) => {
    let read = 0;
    const variants = rounds(20_000);
    for (let n = 0; n < variants; n++) {
      const text = variant(frame());
      const message = parse(Buffer.from(text));
      if (!isDeepStrictEqual(message, parse(theLongWay(text)))) {
        expect.fail(`not read alike: ${text}`);
      }
      if (message !== undefined) read += 1;
    }
    expect(read).toBeGreaterThan(variants / 4);
    expect(read).toBeLessThan(0.95 * variants);
  });
});

describe('The quick path out', () => {
  it.each([0, 1, 2, 3, 160, 3200])('writes %i bytes of audio as JSON does', (bytes) => {
    const audio = Buffer.alloc(bytes, 0x55).toString('base64');
    const media = { event: 'media', streamSid: 'MZ"\\', media: { payload: audio } } as const;
    expect(encodeTwilioCommand(media).toString()).toBe(JSON.stringify(media));
    const append = { type: 'input_audio_buffer.append', audio } as const;
    expect(encodeClientEvent(append).toString()).toBe(JSON.stringify(append));
  });

  it('leaves the frame that the audio came in unchanged', () => {
    const frame = Buffer.from(JSON.stringify(mediaFrame()));
    const before = frame.toString();
    const message = parseTwilioMessage(frame);
    if (message?.event !== 'media') expect.fail('not read');
    encodeClientEvent({ type: 'input_audio_buffer.append', audio: message.media.payload });
    expect(frame.toString()).toBe(before);
  });
});
