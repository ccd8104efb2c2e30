// Preloaded into each server that is measured (node --import): reads the process from within, when asked.

process.on('message', (request) => {
  // Each twice: what survives the first in the young generation is old after the second.
  if (request === 'scavenge') for (let n = 0; n < 2; n += 1) globalThis.gc?.({ type: 'minor' });
  if (request === 'gc') for (let n = 0; n < 2; n += 1) globalThis.gc?.();
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed, external } = process.memoryUsage();
  process.send?.({ cpuUs: user + system, rss, heap: heapUsed + external });
});
// Whatever becomes of the bench, its servers don't outlive it.
process.on('disconnect', () => process.exit(0));
