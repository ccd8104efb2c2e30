// Preloaded into every server that is measured (node --import): reads the process from within, when asked.
process.on('message', (what) => {
  // Twice: what survives the first in the young generation is old after the second.
  if (what === 'rss') for (let n = 0; n < 2; n += 1) globalThis.gc({ type: 'minor' });
  const { user, system } = process.cpuUsage();
  process.send(what === 'rss' ? process.memoryUsage.rss() : user + system);
});
// Whatever becomes of the bench, its servers don't outlive it: process.exit may wait for tsx's thread for ever.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
