import type { Plan, Script } from './script.ts';

/** How often a script is played at most to make it smaller. */
const MAX_TRIES = 400;

/** The smallest script found that is still `broken`: fewer calls, faults, acts and replies, and calmer lines. */
export async function shrunk(
  script: Script,
  isBroken: (script: Script) => Promise<boolean>,
): Promise<Script> {
  let smallest = script;
  let tries = 0;

  async function attempt(candidate: Script): Promise<boolean> {
    if (JSON.stringify(candidate) === JSON.stringify(smallest)) return false;
    tries += 1;
    if (tries > MAX_TRIES || !(await isBroken(candidate))) return false;
    smallest = candidate;
    return true;
  }

  /** Leaves out as much of a list as it can: halves first, then one after the other. */
  async function fewer<T>(list: (script: Script) => T[], withList: (list: T[]) => Script): Promise<void> {
    for (let size = list(smallest).length; size >= 1; size = Math.floor(size / 2)) {
      for (let from = 0; from < list(smallest).length; ) {
        const rest = list(smallest).toSpliced(from, size);
        if (!(await attempt(withList(rest)))) from += size;
      }
    }
  }

  const withCall = (index: number, changes: Partial<Plan>): Script => ({
    ...smallest,
    calls: smallest.calls.map((call, at) => (at === index ? { ...call, ...changes } : call)),
  });

  let before: Script;
  do {
    before = smallest;
    await fewer(
      ({ calls }) => calls,
      (calls) => ({ ...smallest, calls }),
    );
    await fewer(
      ({ faults }) => faults,
      (faults) => ({ ...smallest, faults }),
    );
    for (const index of smallest.calls.keys()) {
      await fewer(
        ({ calls }) => calls[index]?.acts ?? [],
        (acts) => withCall(index, { acts }),
      );
      await fewer(
        ({ calls }) => calls[index]?.replies ?? [],
        (replies) => withCall(index, { replies }),
      );
      await attempt(withCall(index, { comes: 'once' }));
      await attempt(withCall(index, { jitterMs: 0 }));
    }
    const servers = Math.min(smallest.servers, 2);
    for (const changes of [{ servers }, { servers: 1 }, { standby: 0 }, { places: 100 }, { idleMs: 0 }]) {
      await attempt({ ...smallest, ...changes });
    }
  } while (before !== smallest && tries < MAX_TRIES);
  return smallest;
}

/** A script as a test, ready to be pasted, with what it breaks above. */
export function asTest(script: Script, what: string): string {
  const { calls, faults, ...world } = script;
  const list = (all: object[]) => all.map((each) => `\n      ${JSON.stringify(each)},`).join('');
  return [
    `  // ${what}`,
    `  it('keeps to its rules in what seed ${script.seed} came down to', async () => {`,
    '    const script: Script = {',
    `      ...${JSON.stringify(world)},`,
    `      calls: [${list(calls)}\n      ],`,
    `      faults: [${list(faults)}\n      ],`,
    '    };',
    '    expect(await broken(script)).toEqual([]);',
    '  });',
  ].join('\n');
}
