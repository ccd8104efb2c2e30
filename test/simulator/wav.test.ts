import { describe, expect, it } from 'vitest';
import { readWav, writeWav } from './wav.ts';

function fmt({ encoding = 1, channels = 1, rate = 8000, bits = 16 }: Record<string, number> = {}): Buffer {
  const fields = Uint16Array.of(encoding, channels, rate % 65_536, rate / 65_536, 0, 0, 0, bits);
  return chunk('fmt ', Buffer.from(fields.buffer));
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

describe('reading a WAV', () => {
  it('A WAV in mu-law is read as it is', () => {
    const audio = chunk('data', Buffer.from([1, 2, 3]));
    expect(readWav(wav(fmt({ encoding: 7, bits: 8 }), audio))).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('A WAV in 16-bit PCM is encoded, and chunks that nobody knows are skipped', () => {
    const list = chunk('LIST', Buffer.from('data!'));
    expect(readWav(wav(list, fmt(), list, twoSamples, list))).toEqual(twoBytes);
  });

  it.each([
    [{ rate: 44_100, channels: 2 }, 'is at 44,100 Hz with 2 channels in 16 bits of encoding 1'],
    [{ rate: 16_000 }, 'is at 16,000 Hz'],
    [{ bits: 24 }, 'in 24 bits'],
    [{ encoding: 6, bits: 8 }, 'in 8 bits of encoding 6'],
  ])('A WAV of %j is refused with what it is, and can be converted', (format, found) => {
    expect(() => readWav(wav(fmt(format), twoSamples))).toThrow(
      expect.objectContaining({ message: expect.stringContaining(found), isConvertible: true }),
    );
  });

  it.each([
    ['that is empty', Buffer.alloc(0), 'is empty'],
    ['that is an MP3', Buffer.from('ID3\x04 and some more bytes'), 'is not a WAV file'],
    ['cut off in its audio', wav(fmt(), twoSamples).subarray(0, -1), 'it has 3 of the 4 bytes of its data'],
    ['cut off in its format', wav(fmt()).subarray(0, 30), 'it has 10 of the 16 bytes of its fmt'],
    ['without a data chunk', wav(fmt()), 'is truncated: it lacks a fmt or a data chunk'],
    ['without audio', wav(fmt(), chunk('data', Buffer.alloc(0))), 'has no audio in it'],
  ])('A file %s is refused', (_, file, message) => {
    expect(() => readWav(file)).toThrow(message);
  });
});

describe('writing a WAV', () => {
  it('A WAV that was written reads back as the same bytes', () => {
    const audio = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    // Mu-law has two zeros, linear audio one.
    expect(readWav(writeWav(audio))).toEqual(audio.with(0x7f, 0xff));
  });

  it('A WAV is written in 16-bit PCM at 8 kHz mono', () => {
    const header = Buffer.from('666d74201000000001000100401f0000803e000002001000', 'hex');
    expect(writeWav(twoBytes)).toEqual(wav(header, twoSamples));
  });

  it('Two channels are written side by side, the shorter filled up with silence', () => {
    const header = Buffer.from('666d74201000000001000200401f0000007d000004001000', 'hex');
    const samples = chunk('data', Buffer.from([0x7c, 0x7d, 0x84, 0x82, 0x84, 0x82, 0, 0]));
    expect(writeWav(twoBytes, twoBytes.subarray(1))).toEqual(wav(header, samples));
  });
});
