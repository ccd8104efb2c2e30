import { existsSync, readFileSync } from 'node:fs';

const STAT = '/proc/stat';

/** Answers the share of this machine's CPU time that its host has given to others since; undefined if nothing tells. */
export function watchSteal(): () => number | undefined {
  const before = read();
  return () => {
    const after = read();
    if (before === undefined || after === undefined) return undefined;
    return (after.stolen - before.stolen) / (after.all - before.all);
  };
}

/** Ticks since boot: https://docs.kernel.org/filesystems/proc.html, "miscellaneous kernel statistics". */
function read(): { stolen: number; all: number } | undefined {
  if (!existsSync(STAT)) return undefined;
  const [, ...ticks] = readFileSync(STAT, 'utf8').split('\n', 1).join().trim().split(/ +/).map(Number);
  // user, nice, system, idle, iowait, irq, softirq, steal; guests' time after it is in user's.
  return { stolen: ticks[7] ?? 0, all: ticks.slice(0, 8).reduce((sum, tick) => sum + tick, 0) };
}
