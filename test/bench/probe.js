// Preloaded into every server that is measured (node --import), before tsx is: reads the process from within, when asked.

process.on('message', (request) => {
  // Twice: what survives the first in the young generation is old after the second.
  if (request === 'scavenge') for (let n = 0; n < 2; n += 1) globalThis.gc({ type: 'minor' });
  const { user, system } = process.cpuUsage();
  process.send({ cpuUs: user + system, rss: process.memoryUsage.rss() });
});
// Whatever becomes of the bench, its servers don't outlive it.
process.on('disconnect', () => process.exit());
