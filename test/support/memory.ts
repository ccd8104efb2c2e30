import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

/** The heap in use once what nobody needs is collected, in MiB. */
export function heapMiB(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

/** How many timers and sockets this process has. */
export function resources(): number {
  return process.getActiveResourcesInfo().filter((kind) => /Timeout|TCPSocket|HTTP/.test(kind)).length;
}

/** Resolves when there are no more timers and sockets than `before`, or after 5 s, with how many more there are. */
export async function leftResources(before: number): Promise<number> {
  const deadline = performance.now() + 5_000;
  // A timer of its own would count.
  while (resources() > before && performance.now() < deadline) await new Promise(setImmediate);
  return Math.max(0, resources() - before);
}
