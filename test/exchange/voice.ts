import { BYTES_PER_MS } from '../../src/wire/audio.ts';

// Audio that says what it is: its first twelve bytes hold four numbers, the rest is the same everywhere.

const HEAD_BYTES = 12;
/** How a frame of the caller's begins. */
const CALLER = Buffer.from([0, 0, 1]);
const HEAD_CHARACTERS = 16;
const tails = new Map<number, string>();

/** So many ms of audio that hold four numbers of 24 bits. */
export function voice(numbers: readonly [number, number, number, number], ms: number): string {
  const head = Buffer.alloc(HEAD_BYTES);
  for (const [index, number] of numbers.entries()) head.writeUIntBE(number, index * 3, 3);
  let tail = tails.get(ms);
  if (tail === undefined) {
    tail = Buffer.alloc(ms * BYTES_PER_MS - HEAD_BYTES, 0x55).toString('base64');
    tails.set(ms, tail);
  }
  return head.toString('base64') + tail;
}

/** The numbers of each of the caller's frames in audio, which may begin in the middle of one, or be silence. */
export function framesIn(audio: string): [number, number, number][] {
  const bytes = Buffer.from(audio, 'base64');
  const frames: [number, number, number][] = [];
  for (let at = bytes.indexOf(CALLER); at !== -1; at = bytes.indexOf(CALLER, at + HEAD_BYTES)) {
    if (at + HEAD_BYTES > bytes.length) break;
    frames.push([bytes.readUIntBE(at + 3, 3), bytes.readUIntBE(at + 6, 3), bytes.readUIntBE(at + 9, 3)]);
  }
  return frames;
}

/** The numbers that audio of one item begins with. */
export function numbersIn(audio: string): [number, number, number, number] {
  const head = Buffer.from(audio.slice(0, HEAD_CHARACTERS), 'base64');
  const at = (index: number) => (head.length < HEAD_BYTES ? 0xffffff : head.readUIntBE(index * 3, 3));
  return [at(0), at(1), at(2), at(3)];
}
