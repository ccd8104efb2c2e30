#!/usr/bin/env bash
# nginx speaks HTTP/2 to clients and HTTP/1.1 to servers, and removes Connection from what a server answers. It leaves Upgrade
# there, which HTTP/2 forbids (RFC 9113, 8.2.2), and which a 426 has to have in HTTP/1.1 (RFC 9110, 15.5.22). A client that
# checks then ends the stream, and never sees the 426.
set -euo pipefail
NGINX=1.22.1-9+deb12u11
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p debs/partial
apt-get -qq -o Debug::NoLocking=1 -o Dir::Cache::archives="$folder/debs" --download-only --reinstall --yes \
  --no-install-recommends install "nginx=$NGINX" >/dev/null 2>&1 ||
  { echo "There is no nginx=$NGINX to be had here." >&2; exit 2; }
for package in debs/*.deb; do dpkg-deb -x "$package" tree; done

cat >run.mjs <<'END'
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import { connect } from 'node:http2';
import { connect as dial, createServer as createTcpServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

const NGINX = 'tree/usr/sbin/nginx';
const answer = (request, response) =>
  request.url === '/426'
    ? response.writeHead(426, { Connection: 'Upgrade', Upgrade: 'websocket' }).end()
    : response.writeHead(403).end();
const server = createServer(answer).listen(0, '127.0.0.1');
await once(server, 'listening');
const [h1, h2] = [await freePort(), await freePort()];
const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`);
writeFileSync(
  'nginx.conf',
  `daemon off; pid pid; events {} http { access_log off; ${paths.join(' ')} server {
    listen 127.0.0.1:${h1}; listen 127.0.0.1:${h2} http2;
    location / { proxy_pass http://127.0.0.1:${server.address().port}; proxy_http_version 1.1; } } }`,
);
const nginx = spawn(NGINX, ['-p', process.cwd(), '-c', `${process.cwd()}/nginx.conf`, '-e', 'stderr'], {
  stdio: ['ignore', 'inherit', 'inherit'],
});
process.on('exit', () => nginx.kill());
await untilListening(h2);

function overHttp1(path) {
  return new Promise((resolve, reject) => {
    get({ port: h1, path }, ({ statusCode, headers }) =>
      resolve(`${statusCode}, Upgrade: ${headers.upgrade}, Connection: ${headers.connection}`),
    ).on('error', reject);
  });
}

function overHttp2(path) {
  const session = connect(`http://127.0.0.1:${h2}`);
  const request = session.request({ ':path': path });
  return new Promise((resolve) => {
    request.on('response', (headers) => resolve(`${headers[':status']}`));
    request.on('error', ({ message }) => resolve(message));
  }).finally(() => session.destroy());
}

async function freePort() {
  const probe = createTcpServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

async function untilListening(port) {
  for (;;) {
    const socket = dial(port, '127.0.0.1');
    const isOpen = await new Promise((resolve) => {
      socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    await pause(50);
  }
}

console.log(`${spawnSync(NGINX, ['-v'], { encoding: 'utf8' }).stderr.trim()}, Node ${process.version}`);
const seen = {
  '403, HTTP/1.1': await overHttp1('/403'),
  '426, HTTP/1.1': await overHttp1('/426'),
  '403, HTTP/2': await overHttp2('/403'),
  '426, HTTP/2': await overHttp2('/426'),
};
for (const [name, what] of Object.entries(seen)) console.log(`  ${name.padEnd(14)} ${what}`);
nginx.kill();
const isAsFound =
  seen['426, HTTP/1.1'].startsWith('426, Upgrade: websocket') &&
  seen['403, HTTP/2'] === '403' &&
  seen['426, HTTP/2'].includes('NGHTTP2_PROTOCOL_ERROR');
process.exit(isAsFound ? 0 : 1);
END
LD_LIBRARY_PATH=$(echo tree/usr/lib/*-linux-gnu) node run.mjs
