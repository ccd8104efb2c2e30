#!/usr/bin/env bash
# A proxy's idle time-out for WebSockets is over when nothing has come for so long, from either end: a stream that only the
# server sends on stays open behind nginx, HAProxy and Apache. lighttpd counts each direction alone: server.max-read-idle is
# over though the server sends all the time, and server.max-write-idle though the client does.
#
# All time-outs are set to 2 s here; one end sends 4 messages a second for 9 s.
set -euo pipefail
WS=8.23.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p debs/partial
for package in nginx=1.22.1-9+deb12u11 haproxy=2.6.12-1+deb12u4 apache2-bin=2.4.71-1~deb12u1 lighttpd=1.4.69-1; do
  apt-get -qq -o Debug::NoLocking=1 -o Dir::Cache::archives="$folder/debs" --download-only --reinstall --yes \
    --no-install-recommends install "$package" >/dev/null 2>&1 ||
    { echo "There is no $package to be had here." >&2; exit 2; }
done
for package in debs/*.deb; do dpkg-deb -x "$package" tree; done
npm install --silent --no-save --prefix . "ws@$WS" >/dev/null

cat >run.mjs <<'END'
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { WebSocket, WebSocketServer } from 'ws';

const WATCHED_MS = 9_000;
const here = process.cwd();
const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
await once(server, 'listening');
const backend = `127.0.0.1:${server.address().port}`;
server.on('connection', (socket, { url }) => {
  socket.on('error', () => {});
  if (url.includes('server')) send(socket);
});

const programs = {
  nginx: {
    command: ['tree/usr/sbin/nginx', '-p', here, '-e', 'stderr', '-c'],
    config: (port) => `daemon off; pid pid; events {} http { access_log off;
      ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`).join(' ')}
      server { listen 127.0.0.1:${port}; location / { proxy_pass http://${backend}; proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
      proxy_read_timeout 2s; proxy_send_timeout 2s; } } }`,
  },
  HAProxy: {
    command: ['tree/usr/sbin/haproxy', '-db', '-f'],
    config: (port) => `defaults\n  mode http\n  timeout connect 2s\n  timeout client 2s\n  timeout server 2s\n  timeout tunnel 2s
listen all\n  bind 127.0.0.1:${port}\n  server one ${backend}\n`,
  },
  Apache: {
    command: ['tree/usr/sbin/apache2', '-DFOREGROUND', '-f'],
    config: (port) => `${['mpm_event', 'authz_core', 'proxy', 'proxy_http']
      .map((name) => `LoadModule ${name}_module ${here}/tree/usr/lib/apache2/modules/mod_${name}.so`)
      .join('\n')}
ServerName localhost\nListen 127.0.0.1:${port}\nPidFile ${here}/apache.pid\nErrorLog ${here}/log\nMutex file:${here}
DefaultRuntimeDir ${here}\nTimeout 2\nProxyTimeout 2\n${process.getuid() === 0 ? 'User nobody' : ''}
ProxyPass / http://${backend}/ upgrade=websocket\n`,
  },
  lighttpd: {
    command: ['tree/usr/sbin/lighttpd', '-D', '-m', `${here}/tree/usr/lib/lighttpd`, '-f'],
    config: (port) => `server.bind = "127.0.0.1"\nserver.port = ${port}\nserver.document-root = "${here}"
server.modules = ("mod_proxy")\nserver.max-read-idle = 2\nserver.max-write-idle = 2
proxy.header = ("upgrade" => "enable")
proxy.server = ("" => (("host" => "127.0.0.1", "port" => ${server.address().port})))\n`,
  },
};

function send(socket) {
  const timer = setInterval(() => socket.send('x'), 250);
  socket.on('close', () => clearInterval(timer));
}

/** What has become of a stream in the end, or after how long it was cut. */
async function watch(port, senders) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/${senders}`);
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
  const began = performance.now();
  if (senders.includes('client')) send(socket);
  const end = new Promise((resolve) => socket.on('close', resolve));
  await Promise.race([end, pause(WATCHED_MS)]);
  const isOpen = socket.readyState === WebSocket.OPEN;
  socket.terminate();
  return isOpen ? 'open' : `cut (${((performance.now() - began) / 1_000).toFixed(0)} s)`;
}

async function untilListening(port) {
  for (;;) {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
    const isOpen = await new Promise((resolve) => {
      socket.on('open', () => resolve(true)).on('error', () => resolve(false));
    });
    socket.terminate();
    if (isOpen) return;
    await pause(50);
  }
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

const cases = ['nobody', 'server', 'client', 'client and server'];
const seen = await Promise.all(
  Object.entries(programs).map(async ([name, { command: [path, ...args], config }]) => {
    const port = await freePort();
    const file = `${here}/${port}.conf`;
    writeFileSync(file, config(port));
    const child = spawn(path, [...args, file], { stdio: 'ignore' });
    process.on('exit', () => child.kill());
    await untilListening(port);
    const { stdout, stderr } = spawnSync(path, ['-v'], { encoding: 'utf8' });
    const version = /\d+\.\d+\.\d+/.exec(stdout + stderr)?.[0];
    return { name: `${name} ${version}`, fates: await Promise.all(cases.map((senders) => watch(port, senders))) };
  }),
);
console.log(['who sends:', ...cases].map((text) => text.padEnd(18)).join(''));
for (const { name, fates } of seen) console.log([name, ...fates].map((text) => text.padEnd(18)).join(''));
const isAsFound = seen.every(({ name, fates }) => {
  const open = fates.map((fate) => fate === 'open').join();
  return open === (name.startsWith('lighttpd') ? 'false,false,false,true' : 'false,true,true,true');
});
process.exit(isAsFound ? 0 : 1);
END
LD_LIBRARY_PATH=$(echo tree/usr/lib/*-linux-gnu) node run.mjs
