import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loudness } from './simulator/mulaw.ts';
import { readWav, writeWav } from './simulator/wav.ts';

interface Format {
  tag?: number;
  channels?: number;
  rate?: number;
  bits?: number;
  more?: Buffer;
}

function fmt({ tag = 1, channels = 1, rate = 8000, bits = 16, more = Buffer.alloc(0) }: Format = {}): Buffer {
  const body = Buffer.alloc(16);
  body.writeUInt16LE(tag, 0);
  body.writeUInt16LE(channels, 2);
  body.writeUInt32LE(rate, 4);
  body.writeUInt16LE(bits, 14);
  return chunk('fmt ', Buffer.concat([body, more]));
}

function chunk(name: string, body: Buffer): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(body.length);
  return Buffer.concat([Buffer.from(name), size, body, Buffer.alloc(body.length % 2)]);
}

function wav(...chunks: Buffer[]): Buffer {
  return chunk('RIFF', Buffer.concat([Buffer.from('WAVE'), ...chunks]));
}

const twoSamples = chunk('data', Buffer.from([0x7c, 0x7d, 0x84, 0x82]));
const twoBytes = Uint8Array.of(0x80, 0x00);

const fixtures = readdirSync('test/fixtures').filter((name) => name.endsWith('.wav'));

describe('reading a WAV', () => {
  it.each(fixtures)('reads speech from %s', (name) => {
    const file = readFileSync(`test/fixtures/${name}`);
    const audio = readWav(file);
    expect(audio.length).toBe(file.readUInt32LE(file.indexOf('data') + 4));
    expect(loudness(audio)).toBeGreaterThan(100);
  });

  it('takes mu-law bytes as they are', () => {
    const audio = chunk('data', Buffer.from([1, 2, 3]));
    expect(readWav(wav(fmt({ tag: 7, bits: 8 }), audio))).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('encodes 16-bit PCM', () => {
    expect(readWav(wav(fmt(), twoSamples))).toEqual(twoBytes);
  });

  it('reads the extensible form of PCM', () => {
    const more = Buffer.from('16001000000000000100000000001000800000aa00389b71', 'hex');
    expect(readWav(wav(fmt({ tag: 0xfffe, more }), twoSamples))).toEqual(twoBytes);
  });

  it('skips chunks it does not know, padded to an even length', () => {
    const list = chunk('LIST', Buffer.from('data!'));
    expect(readWav(wav(list, fmt(), list, twoSamples, list))).toEqual(twoBytes);
  });

  it.each([
    [{ rate: 44_100, channels: 2 }, 'is 44,100 Hz stereo 16-bit PCM, not 8,000 Hz mono'],
    [{ rate: 16_000 }, 'is 16,000 Hz mono 16-bit PCM'],
    [{ channels: 6 }, 'is 8,000 Hz 6-channel 16-bit PCM'],
    [{ bits: 24 }, 'is 8,000 Hz mono 24-bit PCM'],
    [{ tag: 3, bits: 32 }, 'is 8,000 Hz mono 32-bit floating-point PCM'],
    [{ tag: 6, bits: 8 }, 'is 8,000 Hz mono 8-bit A-law'],
    [{ tag: 17, bits: 4 }, 'is 8,000 Hz mono 4-bit audio in format 17'],
  ])('refuses %j, saying what it is and how to convert it', (format, found) => {
    const read = () => readWav(wav(fmt(format), twoSamples));
    expect(read).toThrow(found);
    expect(read).toThrow('sox in.wav -r 8000 -c 1 -b 16 out.wav');
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['an MP3', Buffer.from('ID3\x04 and some more bytes')],
    ['a big-endian WAV', Buffer.from('RIFX\x04\0\0\0WAVE')],
    ['another RIFF', Buffer.from('RIFF\x04\0\0\0AVI ')],
  ])('refuses %s as no WAV', (_, file) => {
    expect(() => readWav(file)).toThrow('is not a WAV file');
  });

  it.each([
    [
      'audio',
      wav(fmt(), twoSamples).subarray(0, -1),
      'is truncated: it has 3 of the 4 bytes of its data chunk',
    ],
    ['format', wav(fmt()).subarray(0, 30), 'is truncated: it has 10 of the 16 bytes of its fmt chunk'],
    ['data chunk', wav(fmt()), 'is truncated: it has no data chunk'],
    ['fmt chunk', wav(), 'is truncated: it has no whole fmt chunk'],
  ])('refuses a file cut off in its %s', (_, file, message) => {
    expect(() => readWav(file)).toThrow(message);
  });
});

describe('writing a WAV', () => {
  it('reads back as the same bytes', () => {
    const audio = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    // Mu-law has two zeros, linear audio one.
    const back = audio.with(0x7f, 0xff);
    expect(readWav(writeWav(audio))).toEqual(back);
  });

  it('writes a header for 16-bit PCM at 8 kHz mono', () => {
    expect(writeWav(twoBytes)).toEqual(
      wav(
        Buffer.from('666d7420100000000100010040 1f0000803e000002001000'.replaceAll(' ', ''), 'hex'),
        twoSamples,
      ),
    );
  });
});
