/** Returns the rounds of a random test: `all` if FULL is set, as in CI, else a tenth. */
export function rounds(all: number): number {
  return process.env.FULL ? all : all / 10;
}
