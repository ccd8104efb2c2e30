import { brokenRules } from './rules.ts';
import { type Script, scriptOf } from './script.ts';
import { asTest, shrunk } from './shrink.ts';
import { World } from './world.ts';

/** How many calls share the servers of a world. */
export const CALLS_A_WORLD = 25;

export interface Played {
  world: World;
  /** What it breaks, a line each. */
  broken: string[];
}

/** Plays a script to its end. */
export async function play(script: Script): Promise<Played> {
  const world = new World(script);
  await world.run();
  return { world, broken: brokenRules(world) };
}

/** What a script breaks. */
export async function broken(script: Script): Promise<string[]> {
  return (await play(script)).broken;
}

/** What calls break from a seed on, as the smallest script that breaks the same rule; undefined if they break nothing. */
export async function firstFault(
  seed: number,
  calls: number,
  onWorld: (played: Played) => void = () => {},
): Promise<string | undefined> {
  for (let n = 0; n * CALLS_A_WORLD < calls; n++) {
    const script = scriptOf(seed + n, Math.min(CALLS_A_WORLD, calls - n * CALLS_A_WORLD));
    const played = await play(script);
    onWorld(played);
    const [what] = played.broken;
    if (what === undefined) continue;
    const [sentence = ''] = what.split(':');
    const smallest = await shrunk(script, async (candidate) =>
      (await broken(candidate)).some((each) => each.startsWith(sentence)),
    );
    return `seed ${seed + n} breaks a rule, as does this:\n\n${asTest(smallest, what)}`;
  }
  return undefined;
}
