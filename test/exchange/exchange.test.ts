import { describe, expect, it } from 'vitest';
import { firstFault, play } from './exchange.ts';
import { scriptOf } from './script.ts';

describe('A simulated exchange', () => {
  it('has the same log, line by line, for the same seed', async () => {
    const [first, second, other] = [
      await play(scriptOf(3, 10)),
      await play(scriptOf(3, 10)),
      await play(scriptOf(4, 10)),
    ];
    expect(second.world.log).toEqual(first.world.log);
    expect(other.world.log).not.toEqual(first.world.log);
  });

  it('breaks no rule in 300 calls with every fault', { timeout: 60_000 }, async () => {
    expect(await firstFault(1, 300)).toBeUndefined();
  });
});
