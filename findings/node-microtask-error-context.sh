#!/usr/bin/env bash
# An AsyncLocalStorage tells an `uncaughtException` handler whose code has thrown: a server that runs its owner's code can log
# the error and go on. It does so for errors of timers, of `process.nextTick` and of promises. For `queueMicrotask`, Node 20 and
# 22 have left the callback's context when they call the handler, and the store is undefined; newer ones have it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >throw.mjs <<'END'
import { AsyncLocalStorage } from 'node:async_hooks';

const fail = () => {
  throw new Error('escaped');
};
const WAYS = {
  setTimeout: () => setTimeout(fail, 1),
  nextTick: () => process.nextTick(fail),
  'a floating promise': () => void Promise.resolve().then(fail),
  queueMicrotask: () => queueMicrotask(fail),
};
const storage = new AsyncLocalStorage();
let next = () => {};
for (const event of ['uncaughtException', 'unhandledRejection'])
  process.on(event, () => next(storage.getStore() ?? 'no store'));

console.log(`Node ${process.version}`);
const seen = [];
for (const [name, act] of Object.entries(WAYS)) {
  // The wait itself is outside of any store.
  const store = await new Promise((resolve) => {
    next = resolve;
    setImmediate(() => storage.run('whose', act));
  });
  console.log(`  ${name.padEnd(20)} ${store}`);
  seen.push(store);
}
const isOld = Number(process.versions.node.split('.')[0]) < 24;
const expected = ['whose', 'whose', 'whose', isOld ? 'no store' : 'whose'];
process.exit(expected.join() === seen.join() ? 0 : 1);
END

for version in 20.20.2 22.23.3 24.21.0 26.10.0; do
  npm install --silent --no-save --prefix "$version" "node@$version" >/dev/null
  "$version/node_modules/node/bin/node" throw.mjs
done
