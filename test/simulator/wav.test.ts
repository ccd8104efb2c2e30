import { describe, expect, it } from 'vitest';
import { readWav, writeWav } from './wav.ts';

const SUBFORMAT = '000000001000800000aa00389b71';

function fmt({ encoding = 1, channels = 1, rate = 8000, bits = 16 }: Record<string, number> = {}): Buffer {
  const fields = Uint16Array.of(encoding, channels, rate % 65_536, rate / 65_536, 0, 0, 0, bits);
  return chunk('fmt ', Buffer.from(fields.buffer));
}

/** An extensible format of one channel at 8 kHz. */
function extensible(encoding: number, bits: number, subFormat = SUBFORMAT): Buffer {
  const fields = fmt({ encoding: 0xfffe, bits }).subarray(8);
  const extension = Buffer.from(Uint16Array.of(22, bits, 4, 0, encoding).buffer);
  return chunk('fmt ', Buffer.concat([fields, extension, Buffer.from(subFormat, 'hex')]));
}

function chunk(name: string, body: Buffer, claimed = body.length): Buffer {
  const size = Buffer.from(Uint32Array.of(claimed).buffer);
  return Buffer.concat([Buffer.from(name), size, body, Buffer.alloc(body.length % 2)]);
}

function wav(...chunks: Buffer[]): Buffer {
  return chunk('RIFF', Buffer.concat([Buffer.from('WAVE'), ...chunks]));
}

const samples = Buffer.from([0x7c, 0x7d, 0x84, 0x82]);
const twoSamples = chunk('data', samples);
const twoBytes = Uint8Array.of(0x80, 0x00);
const other = chunk('LIST', Buffer.from('data!'));
const claiming = (size: number) => wav(fmt(), chunk('data', samples, size));

describe('readWav', () => {
  it.each<[string, Buffer]>([
    ['16-bit PCM', wav(fmt(), twoSamples)],
    ['mu-law as it is', wav(fmt({ encoding: 7, bits: 8 }), chunk('data', Buffer.from(twoBytes)))],
    ['extensible PCM', wav(extensible(1, 16), twoSamples)],
    ['extensible mu-law', wav(extensible(7, 8), chunk('data', Buffer.from(twoBytes)))],
    ['what is among other chunks', wav(other, fmt(), other, twoSamples, other)],
    ...[0, 0x7fff_0000, 0x7fff_f000, 0x8000_0000, 0xffff_ffff].map((size): [string, Buffer] => [
      `a stream whose audio claims ${size} bytes`,
      claiming(size),
    ]),
  ])('reads %s', (_, file) => {
    expect(readWav(file)).toEqual({ audio: twoBytes });
  });

  it.each([
    ['is cut off', claiming(6), 'has 4 bytes of audio, though its header says 6'],
    [
      'goes on behind what its header counts',
      Buffer.concat([wav(fmt(), chunk('data', samples.subarray(0, 2))), samples.subarray(2)]),
      'has 4 bytes of audio, though its header says 2',
    ],
  ])('reads a file that %s, with a warning', (_, file, warning) => {
    expect(readWav(file)).toEqual({ audio: twoBytes, warning });
  });

  it.each([
    [
      { rate: 44_100, channels: 2 },
      'has 44,100 Hz, 2 channels, 16-bit PCM; a call takes 8,000 Hz, 1 channel',
    ],
    [{ bits: 24 }, 'has 8,000 Hz, 1 channel, 24-bit PCM'],
    [{ encoding: 6, bits: 8 }, '8-bit A-law'],
    [{ encoding: 17 }, '16-bit encoding 17'],
  ])('refuses %j, which can be converted', (format, found) => {
    const error = { message: expect.stringContaining(found), convert: 'yes' };
    expect(() => readWav(wav(fmt(format), twoSamples))).toThrow(expect.objectContaining(error));
    const streamed = wav(fmt(format), chunk('data', samples, 0));
    expect(() => readWav(streamed)).toThrow(expect.objectContaining({ convert: 'ignoring length' }));
  });

  it.each([
    ['that is empty', Buffer.alloc(0), 'is empty', 'no'],
    ['that is an MP3', Buffer.from('ID3\x04 and some more bytes'), 'is not a WAV file', 'yes'],
    ['of ambisonics', wav(extensible(1, 16, '210700d301d7'), twoSamples), 'encoding 65534', 'yes'],
    ['cut off in its format', wav(fmt(), twoSamples).subarray(0, 30), 'is cut off before its audio', 'no'],
    ['without audio', wav(fmt(), chunk('data', Buffer.alloc(0))), 'has no audio in it', 'no'],
  ])('refuses a file %s', (_, file, message, convert) => {
    const error = { message: expect.stringContaining(message), convert };
    expect(() => readWav(file)).toThrow(expect.objectContaining(error));
  });
});

describe('writeWav', () => {
  it('writes what reads back as the same bytes', () => {
    const audio = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    // Mu-law has two zeros, linear audio one.
    expect(readWav(writeWav(audio)).audio).toEqual(audio.with(0x7f, 0xff));
  });

  it('writes 16-bit PCM at 8 kHz mono', () => {
    const header = Buffer.from('666d74201000000001000100401f0000803e000002001000', 'hex');
    expect(writeWav(twoBytes)).toEqual(wav(header, twoSamples));
  });

  it('writes two channels side by side, the shorter filled up with silence', () => {
    const header = Buffer.from('666d74201000000001000200401f0000007d000004001000', 'hex');
    const sideBySide = chunk('data', Buffer.from([0x7c, 0x7d, 0x84, 0x82, 0x84, 0x82, 0, 0]));
    expect(writeWav(twoBytes, twoBytes.subarray(1))).toEqual(wav(header, sideBySide));
  });
});
