// Preloaded into each server that is measured (node --import): reads the process from within, when asked.

process.on('message', (request) => {
  if (request === 'gc') {
    globalThis.gc?.();
    globalThis.gc?.();
  }
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed, external } = process.memoryUsage();
  process.send?.({ cpuUs: user + system, rss, heap: heapUsed + external });
});
// Whatever becomes of the bench, its servers don't outlive it.
process.on('disconnect', () => process.exit(0));
