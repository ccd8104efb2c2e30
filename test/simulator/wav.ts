import { decodeMulaw, encodeMulaw } from './mulaw.ts';

const RATE = 8_000;
const PCM = 1;
const MULAW = 7;

/** What is wrong with a file that isn't read, as it reads behind the file's name; most can be converted. */
export class WavError extends Error {
  override name = 'WavError';
  readonly isConvertible: boolean;

  constructor(message: string, isConvertible = false) {
    super(message);
    this.isConvertible = isConvertible;
  }
}

/**
 * The audio of a WAV file as mu-law at 8 kHz mono; reads 16-bit PCM and mu-law of that rate, nothing else. Throws a
 * WavError: `is at 44,100 Hz with 2 channels …`.
 */
export function readWav(file: Buffer): Uint8Array {
  if (file.length === 0) throw new WavError('is empty');
  if (file.toString('latin1', 0, 4) !== 'RIFF' || file.toString('latin1', 8, 12) !== 'WAVE') {
    throw new WavError('is not a WAV file', true);
  }
  const chunks = readChunks(file);
  const format = chunks.get('fmt ');
  const data = chunks.get('data');
  if (format === undefined || format.length < 16 || data === undefined) {
    throw new WavError('is truncated: it lacks a fmt or a data chunk; make it again');
  }
  if (data.length === 0) throw new WavError('has no audio in it; record it again');

  const encoding = format.readUInt16LE(0);
  const channels = format.readUInt16LE(2);
  const rate = format.readUInt32LE(4);
  const bits = format.readUInt16LE(14);
  const isReadable = (encoding === PCM && bits === 16) || (encoding === MULAW && bits === 8);
  if (!isReadable || channels !== 1 || rate !== RATE) {
    const found = `at ${rate.toLocaleString('en')} Hz with ${channels} channels in ${bits} bits of encoding ${encoding}`;
    throw new WavError(`is ${found}, not 8,000 Hz mono 16-bit PCM or mu-law`, true);
  }
  if (encoding === MULAW) return Uint8Array.from(data);
  return Uint8Array.from({ length: data.length >> 1 }, (_, i) => encodeMulaw(data.readInt16LE(2 * i)));
}

/** A WAV file of one channel or more in mu-law at 8 kHz, in 16-bit PCM, which every player plays; short ones end in silence. */
export function writeWav(...channels: Uint8Array[]): Buffer {
  const frameBytes = 2 * channels.length;
  const samples = Buffer.alloc(frameBytes * Math.max(...channels.map(({ length }) => length)));
  for (const [channel, mulaw] of channels.entries()) {
    mulaw.forEach((byte, i) => {
      samples.writeInt16LE(decodeMulaw(byte), frameBytes * i + 2 * channel);
    });
  }
  const format = Uint16Array.of(PCM, channels.length, RATE, 0, frameBytes * RATE, 0, frameBytes, 16);
  const chunks = [chunk('fmt ', Buffer.from(format.buffer)), chunk('data', samples)];
  return chunk('RIFF', Buffer.concat([Buffer.from('WAVE'), ...chunks]));
}

function chunk(name: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(name), Buffer.from(Uint32Array.of(body.length).buffer), body]);
}

function readChunks(file: Buffer): Map<string, Buffer> {
  const chunks = new Map<string, Buffer>();
  let offset = 12;
  while (offset + 8 <= file.length) {
    const name = file.toString('latin1', offset, offset + 4);
    const size = file.readUInt32LE(offset + 4);
    const body = file.subarray(offset + 8, offset + 8 + size);
    if (body.length < size) {
      const found = `${body.length.toLocaleString('en')} of the ${size.toLocaleString('en')} bytes`;
      throw new WavError(`is truncated: it has ${found} of its ${name.trim()} chunk; make it again`);
    }
    chunks.set(name, body);
    offset += 8 + size + (size % 2);
  }
  return chunks;
}
