/** Returns the rounds of a random test: `all` if FULL is set, as in CI, else a tenth. */
export function rounds(all: number): number {
  return process.env.FULL ? all : all / 10;
}

/** Has a conversation for each seed: the same ones each time, or those of SEEDS, such as `1-100000`. */
export function repeat(all: number, converse: (seed: number) => void): void {
  const [first = 1, last = rounds(all)] = process.env.SEEDS?.split('-').map(Number) ?? [];
  for (let seed = first; seed <= last; seed++) {
    try {
      converse(seed);
    } catch (error) {
      throw new Error(`conversation ${seed}`, { cause: error });
    }
  }
}
