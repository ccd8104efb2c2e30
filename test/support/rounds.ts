/** How often a random test repeats itself: `all` times where FULL is set, as in CI, else a tenth of that. */
export function rounds(all: number): number {
  return process.env.FULL ? all : all / 10;
}
