import { describe, expect, it } from 'vitest';
import { broken, firstFault, play } from './exchange.ts';
import { type Act, type DialFault, type Script, scriptOf } from './script.ts';
import { asTest, shrunk } from './shrink.ts';

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

  it('shrinks a script to what breaks it', async () => {
    const isReset = ({ does }: Act) => does === 'reset';
    const script = await shrunk(scriptOf(1, 25), async ({ calls }) =>
      calls.some(({ acts }) => acts.some(isReset)),
    );
    expect(script).toMatchObject({
      servers: 1,
      faults: [],
      calls: [{ acts: [{ does: 'reset' }], replies: [] }],
    });
    expect(asTest(script, 'A rule: call 0')).toContain('"does":"reset"');
  });

  it('breaks no rule in 300 calls with every fault', { timeout: 60_000 }, async () => {
    expect(await firstFault(1, 300)).toBeUndefined();
  });

  it.each<DialFault>(['refused', '503', 'hanging'])('goes on if the first handshake is %s', async (meets) => {
    const script: Script = {
      ...{
        seed: 1,
        servers: 1,
        balancer: 'sticky',
        standby: 0,
        places: 1,
        graceSeconds: 0,
        maxCallSeconds: 40,
        idleMs: 0,
      },
      calls: [
        {
          ...{ at: 0, seed: 1, delayMs: 15, jitterMs: 2, frameMs: 100, comes: 'once', replies: [] },
          acts: [{ at: 12_000, does: 'hang up' }],
        },
      ],
      faults: [{ at: 0, does: 'dialling', ms: 0, meets }],
    };
    expect(await broken(script)).toEqual([]);
  });
});
