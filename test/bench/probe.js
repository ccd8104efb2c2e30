// Preloaded into every server that is measured (node --import): reads the process from within, when asked.

function cpuUs() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function rss() {
  // Twice: what survives the first in the young generation is old after the second.
  for (let n = 0; n < 2; n += 1) globalThis.gc({ type: 'minor' });
  return process.memoryUsage.rss();
}

process.on('message', (what) => process.send(what === 'rss' ? rss() : cpuUs()));
// Whatever becomes of the bench, its servers don't outlive it.
process.on('disconnect', () => process.exit());
