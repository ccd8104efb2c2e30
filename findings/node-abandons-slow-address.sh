#!/usr/bin/env bash
# "Happy eyeballs" (RFC 8305) races the addresses of a host name: an attempt that is slow goes on beside the next one. Node's
# net.connect gives each attempt but the last 250 ms (500 ms in Node 26), then abandons it. So a server that answers after a
# second is reached by a name with one address, and not by a name with a second address that refuses. And the
# AggregateError that comes of it has an empty message.
#
# The server here is slow as after one lost packet: its queue of connections is full for 0.9 s, so the kernel drops the first
# SYN, and takes the one that TCP sends a second later.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >listener.mjs <<'END'
import { createServer } from 'node:net';
const server = createServer((socket) => socket.on('error', () => {}));
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
  process.send(server.address().port);
  // Accepts nobody meanwhile.
  process.once('message', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 900));
});
END

cat >connect.mjs <<'END'
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

const GOOD = { address: '127.0.0.1', family: 4 };
const REFUSES = { address: '127.0.0.2', family: 4 };

async function attempt(name, addresses, options = {}) {
  const listener = fork('listener.mjs');
  const [port] = await once(listener, 'message');
  listener.send('block');
  await pause(50);
  const fill = Array.from({ length: 4 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  await pause(50);
  const began = performance.now();
  const socket = connect({
    port,
    host: 'relay.example.com',
    lookup: (_host, { all }, done) => (all ? done(null, addresses) : done(null, addresses[0].address, 4)),
    ...options,
  });
  const error = await new Promise((resolve) => socket.on('connect', () => resolve()).on('error', resolve));
  const ms = Math.round(performance.now() - began);
  const parts = error?.errors?.map(({ code }) => code).join(', ');
  const outcome = error ? `${error.name} ${JSON.stringify(error.message)} [${parts}]` : 'connected';
  console.log(`  ${name.padEnd(46)} ${outcome}, ${ms} ms`);
  for (const each of [socket, ...fill]) each.destroy();
  listener.kill();
  return outcome;
}

console.log(`Node ${process.version}`);
const one = await attempt('one address', [GOOD]);
const two = await attempt('the same, then one that refuses', [GOOD, REFUSES]);
const longer = await attempt('both, autoSelectFamilyAttemptTimeout: 1500', [GOOD, REFUSES], {
  autoSelectFamilyAttemptTimeout: 1_500,
});
const isAsFound =
  one === 'connected' && two === 'AggregateError "" [ETIMEDOUT, ECONNREFUSED]' && longer === 'connected';
process.exit(isAsFound ? 0 : 1);
END

for version in 20.20.2 24.21.0 26.10.0; do
  npm install --silent --no-save --prefix "$version" "node@$version" >/dev/null
  "$version/node_modules/node/bin/node" connect.mjs
done
