import { BYTES_PER_MS } from '../../src/wire/audio.ts';

// Audio that says what it is: its first twelve bytes hold four numbers, the rest is the same everywhere.

const HEAD_BYTES = 12;
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

/** The numbers that audio holds. */
export function numbersIn(audio: string): [number, number, number, number] {
  const head = Buffer.from(audio.slice(0, HEAD_CHARACTERS), 'base64');
  const at = (index: number) => (head.length < HEAD_BYTES ? 0xffffff : head.readUIntBE(index * 3, 3));
  return [at(0), at(1), at(2), at(3)];
}
