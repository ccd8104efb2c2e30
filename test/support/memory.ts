import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

/** The heap in use once what nobody needs is collected, in MiB. */
export function heapMiB(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

/** The timers and sockets that this process has. */
function resources(): string[] {
  return process.getActiveResourcesInfo().filter((kind) => /Timeout|TCPSocket|HTTP/.test(kind));
}

/** The timers and sockets that are left after 5 s at most; it waits without a timer of its own. */
export async function leftResources(): Promise<string[]> {
  const deadline = performance.now() + 5_000;
  while (resources().length > 0 && performance.now() < deadline) await new Promise(setImmediate);
  return resources();
}
