import { describe, expect, it } from 'vitest';
import { scriptOf } from './script.ts';
import { World } from './world.ts';

async function played(seed: number): Promise<World> {
  const world = new World(scriptOf(seed, 10));
  await world.run();
  return world;
}

describe('A simulated exchange', () => {
  it('has the same log, line by line, for the same seed', async () => {
    const [first, second] = [await played(3), await played(3)];
    expect(second.log).toEqual(first.log);
    expect(first.log).not.toEqual((await played(4)).log);
  });
});
