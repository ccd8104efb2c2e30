import { describe, expect, it } from 'vitest';
import { JitterBuffer } from './page/jitter-buffer.js';

function buffer(least = 4, most = 10) {
  return new JitterBuffer({ silence: 255, least, most });
}

function pull(from: JitterBuffer, length: number): number[] {
  const target = new Uint8Array(length);
  from.pull(target);
  return [...target];
}

describe('JitterBuffer', () => {
  it('returns samples in order, once there are enough', () => {
    const jitter = buffer();
    jitter.push([1, 2, 3]);
    expect(pull(jitter, 2)).toEqual([255, 255]);
    jitter.push(Uint8Array.of(4));
    jitter.push([5]);
    expect(pull(jitter, 2)).toEqual([1, 2]);
    expect(pull(jitter, 3)).toEqual([3, 4, 5]);
  });

  it('returns silence after it ran empty, until there are enough again', () => {
    const jitter = buffer();
    jitter.push([1, 2, 3, 4]);
    expect(pull(jitter, 6)).toEqual([1, 2, 3, 4, 255, 255]);
    jitter.push([5, 6, 7]);
    expect(pull(jitter, 2)).toEqual([255, 255]);
    jitter.push([8]);
    expect(pull(jitter, 4)).toEqual([5, 6, 7, 8]);
  });

  it('drops the oldest of too many, down to what it begins with', () => {
    const jitter = buffer();
    for (let i = 0; i < 10; i += 1) jitter.push([i]);
    expect(jitter.length).toBe(10);
    jitter.push([10]);
    expect(jitter.length).toBe(4);
    expect(pull(jitter, 4)).toEqual([7, 8, 9, 10]);
  });
});
