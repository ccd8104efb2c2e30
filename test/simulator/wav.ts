import { decodeMulaw, encodeMulaw } from './mulaw.ts';

const RATE = 8_000;
const PCM = 1;
const MULAW = 7;
const EXTENSIBLE = 0xfffe;
/** What follows the encoding in the SubFormat of an extensible format: https://www.rfc-editor.org/rfc/rfc2361 */
const SUBFORMAT = '000000001000800000aa00389b71';
const ENCODINGS: Record<number, string> = { [PCM]: 'PCM', 3: 'float', 6: 'A-law', [MULAW]: 'mu-law' };
/** The least of the sizes that programs write into a pipe, before they know the size, in bytes. */
const LEAST_UNKNOWN_SIZE = 0x7fff_0000;

/** What is wrong with a file; its message follows the file's name. */
export class WavError extends Error {
  override name = 'WavError';
  /** Whether sox and ffmpeg can convert it, sox only if it ignores the length in the header. */
  readonly convert: 'no' | 'yes' | 'ignoring length';

  constructor(message: string, convert: WavError['convert'] = 'no') {
    super(message);
    this.convert = convert;
  }
}

/** Mu-law at 8 kHz mono; `warning` follows the file's name. */
interface Speech {
  audio: Uint8Array;
  warning?: string;
}

/** Reads a WAV file of 16-bit PCM or mu-law at 8 kHz mono. Throws a WavError for any other. */
export function readWav(file: Buffer): Speech {
  if (file.length === 0) throw new WavError('is empty');
  if (file.toString('latin1', 0, 4) !== 'RIFF' || file.toString('latin1', 8, 12) !== 'WAVE') {
    throw new WavError('is not a WAV file', 'yes');
  }
  const { format, data, size } = readChunks(file);
  if (data.length === 0) throw new WavError('has no audio in it; record it again');

  const isExtensible = format.readUInt16LE(0) === EXTENSIBLE && format.toString('hex', 26, 40) === SUBFORMAT;
  const encoding = format.readUInt16LE(isExtensible ? 24 : 0);
  const channels = format.readUInt16LE(2);
  const rate = format.readUInt32LE(4);
  const bits = format.readUInt16LE(14);
  const isReadable = (encoding === PCM && bits === 16) || (encoding === MULAW && bits === 8);
  if (!isReadable || channels !== 1 || rate !== RATE) {
    const found = `${rate.toLocaleString('en')} Hz, ${channels} channel${channels === 1 ? '' : 's'}, ${bits}-bit`;
    const name = ENCODINGS[encoding] ?? `encoding ${encoding}`;
    const message = `has ${found} ${name}; a call takes 8,000 Hz, 1 channel, 16-bit PCM or 8-bit mu-law`;
    throw new WavError(message, size === data.length ? 'yes' : 'ignoring length');
  }
  const audio =
    encoding === MULAW
      ? Uint8Array.from(data)
      : Uint8Array.from({ length: data.length >> 1 }, (_, i) => encodeMulaw(data.readInt16LE(2 * i)));
  const isUnknown = size === 0 || size >= LEAST_UNKNOWN_SIZE;
  if (isUnknown || size === data.length) return { audio };
  const [has, claims] = [data.length, size].map((bytes) => bytes.toLocaleString('en'));
  return { audio, warning: `has ${has} bytes of audio, though its header says ${claims}` };
}

/** A WAV file in 16-bit PCM, which every player plays, of channels in mu-law; short ones end in silence. */
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

/** The format and the audio, whose chunk is the last that is read; `size` is what its header says. */
function readChunks(file: Buffer): { format: Buffer; data: Buffer; size: number } {
  let format: Buffer = Buffer.alloc(0);
  let offset = 12;
  while (offset + 8 <= file.length) {
    const name = file.toString('latin1', offset, offset + 4);
    const size = file.readUInt32LE(offset + 4);
    const end = offset + 8 + size;
    if (name === 'fmt ') format = file.subarray(offset + 8, end);
    if (name === 'data' && format.length >= 16) {
      // A killed recorder has counted only its first samples, in both headers.
      const isCounted = size > 0 && (end !== 8 + file.readUInt32LE(4) || file.length <= end + 1);
      return { format, data: file.subarray(offset + 8, isCounted ? end : file.length), size };
    }
    offset = end + (size % 2);
  }
  throw new WavError('is cut off before its audio; make it again');
}
