#!/usr/bin/env bash
# In HAProxy, `force-persist` has a request go to its own server though that is marked as down, and `option redispatch` has a
# request go to another server when its own can't be reached. One would expect of both together: to its own server while
# that accepts, otherwise to another. But with force-persist there is no redispatch: the request waits for all its retries
# and gets 503, while the other server is free.
set -euo pipefail
HAPROXY=2.6.12-1+deb12u4
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p debs/partial
apt-get -qq -o Debug::NoLocking=1 -o Dir::Cache::archives="$folder/debs" --download-only --reinstall --yes \
  --no-install-recommends install "haproxy=$HAPROXY" >/dev/null 2>&1 ||
  { echo "There is no haproxy=$HAPROXY to be had here." >&2; exit 2; }
for package in debs/*.deb; do dpkg-deb -x "$package" tree; done

cat >run.mjs <<'END'
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer as createHttpServer, get } from 'node:http';
import { createServer } from 'node:net';

const HAPROXY = 'tree/usr/sbin/haproxy';
const alive = createHttpServer((_request, response) => response.end()).listen(0, '127.0.0.1');
await once(alive, 'listening');

/** What a request gets whose cookie names the dead server, once that is marked as down. */
async function ask(line) {
  const [front, dead] = [await freePort(), await freePort()];
  writeFileSync(
    'haproxy.cfg',
    `defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  retries 3
  option redispatch 1
listen all
  bind 127.0.0.1:${front}
  cookie server insert
  ${line}
  default-server check inter 100ms fall 1
  server dead 127.0.0.1:${dead} cookie dead
  server alive 127.0.0.1:${alive.address().port} cookie alive
`,
  );
  const haproxy = spawn(HAPROXY, ['-db', '-f', 'haproxy.cfg'], { stdio: ['ignore', 'ignore', 'pipe'] });
  process.on('exit', () => haproxy.kill());
  for await (const text of haproxy.stderr) if (String(text).includes('all/dead is DOWN')) break;
  const began = performance.now();
  const status = await new Promise((resolve, reject) => {
    get({ port: front, headers: { cookie: 'server=dead' } }, (response) =>
      resolve(`${response.statusCode}${response.headers['set-cookie'] ? ' of the other server' : ''}`),
    ).on('error', reject);
  });
  const ms = Math.round(performance.now() - began);
  haproxy.kill();
  console.log(`  ${(line || '(neither)').padEnd(24)} ${status}, ${ms} ms`);
  return status;
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

console.log(spawnSync(HAPROXY, ['-v'], { encoding: 'utf8' }).stdout.split('\n')[0]);
console.log('A request for a server that refuses connections, with `option redispatch 1`:');
const without = await ask('');
const forced = await ask('force-persist if TRUE');
process.exit(without === '200 of the other server' && forced === '503' ? 0 : 1);
END
LD_LIBRARY_PATH=$(echo tree/usr/lib/*-linux-gnu) node run.mjs
