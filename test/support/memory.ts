import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

/** The heap in use after a garbage collection, in MiB. */
export function heapMiB(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

/** The number of timers and sockets in this process. */
export function resources(): number {
  return process.getActiveResourcesInfo().filter((kind) => /Timeout|TCPSocket|HTTP/.test(kind)).length;
}

/** Waits up to 5 s until no timers and sockets are left beyond `before`; resolves to the number left. */
export async function leftResources(before: number): Promise<number> {
  const deadline = performance.now() + 5_000;
  // A timer of its own would count.
  while (resources() > before && performance.now() < deadline) await new Promise(setImmediate);
  return Math.max(0, resources() - before);
}
