import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { floodDetector } from '../../src/wire/socket.ts';

const MIB = 1_048_576;

describe('The flood detector', () => {
  it('counts the bytes of 5 s, by the clock that it is given', () => {
    let bytesRead = 100;
    const tcp = Object.defineProperty(new Socket(), 'bytesRead', { get: () => bytesRead });
    const isFlooded = floodDetector(tcp);
    bytesRead = MIB;
    // A process that has stalled for a minute is behind the clock of the machine.
    expect(isFlooded(performance.now() - 60_000)).toBe(false);
    bytesRead = MIB + 101;
    expect(isFlooded(performance.now() - 59_000)).toBe(true);
    expect(isFlooded(performance.now() - 54_999)).toBe(false);
  });
});
