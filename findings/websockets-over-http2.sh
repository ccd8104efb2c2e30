#!/usr/bin/env bash
# RFC 8441 has WebSockets over HTTP/2, where a client sends no Sec-WebSocket-Key. A proxy in front of an HTTP/1.1 server has to
# make one up. RFC 6455 asks for 16 random bytes each time; lighttpd sends the same to every server on every connection:
# sixteen times the digit 0. HAProxy and Apache draw one. nginx and Caddy don't offer it at all, nor does Apache unless told.
set -euo pipefail
WS=8.23.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p debs/partial
for package in nginx=1.22.1-9+deb12u11 haproxy=2.6.12-1+deb12u4 caddy=2.6.2-5 apache2-bin=2.4.71-1~deb12u1 lighttpd=1.4.69-1; do
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
import { connect } from 'node:http2';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { WebSocketServer } from 'ws';

const here = process.cwd();
const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
await once(server, 'listening');
const backend = `127.0.0.1:${server.address().port}`;
const keys = [];
server.on('connection', (_socket, { headers }) => keys.push(headers['sec-websocket-key']));

const apache = (port, line) => `${['mpm_event', 'authz_core', 'proxy', 'proxy_http', 'http2']
  .map((name) => `LoadModule ${name}_module ${here}/tree/usr/lib/apache2/modules/mod_${name}.so`)
  .join('\n')}
ServerName localhost\nListen 127.0.0.1:${port}\nPidFile ${here}/${port}.pid\nErrorLog ${here}/log\nMutex file:${here}
DefaultRuntimeDir ${here}\nProtocols h2c\n${process.getuid() === 0 ? 'User nobody' : ''}
${line}\nProxyPass / http://${backend}/ upgrade=websocket\n`;
const programs = {
  nginx: {
    command: ['tree/usr/sbin/nginx', '-p', here, '-e', 'stderr', '-c'],
    version: '-v',
    config: (port) => `daemon off; pid pid; events {} http { access_log off;
      ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`).join(' ')}
      server { listen 127.0.0.1:${port} http2; location / { proxy_pass http://${backend}; } } }`,
  },
  Caddy: {
    command: ['tree/usr/bin/caddy', 'run', '--adapter', 'caddyfile', '--config'],
    version: 'version',
    config: (port) => `{\nadmin off\nservers {\nprotocols h1 h2c\n}\n}\nhttp://127.0.0.1:${port} {\nreverse_proxy ${backend}\n}\n`,
  },
  HAProxy: {
    command: ['tree/usr/sbin/haproxy', '-db', '-f'],
    version: '-v',
    config: (port) => `defaults\n  mode http\n  timeout connect 2s\n  timeout client 9s\n  timeout server 9s
listen all\n  bind 127.0.0.1:${port} proto h2\n  server one ${backend}\n`,
  },
  Apache: {
    command: ['tree/usr/sbin/apache2', '-DFOREGROUND', '-f'],
    version: '-v',
    config: (port) => apache(port, ''),
  },
  'Apache, H2WebSockets on': {
    command: ['tree/usr/sbin/apache2', '-DFOREGROUND', '-f'],
    version: '-v',
    config: (port) => apache(port, 'H2WebSockets on'),
  },
  lighttpd: {
    command: ['tree/usr/sbin/lighttpd', '-D', '-m', `${here}/tree/usr/lib/lighttpd`, '-f'],
    version: '-v',
    config: (port) => `server.bind = "127.0.0.1"\nserver.port = ${port}\nserver.document-root = "${here}"
server.modules = ("mod_proxy")\nproxy.header = ("upgrade" => "enable")
proxy.server = ("" => (("host" => "127.0.0.1", "port" => ${server.address().port})))\n`,
  },
};

/** The keys that the server gets from two WebSockets over HTTP/2; undefined if the proxy doesn't offer any. */
async function keysOf({ command: [path, ...args], config }) {
  const port = await freePort();
  const file = `${here}/${port}.conf`;
  writeFileSync(file, config(port));
  const env = { ...process.env, HOME: here };
  const child = spawn(path, [...args, file], { env, stdio: 'ignore' });
  process.on('exit', () => child.kill());
  let session;
  for (;;) {
    session = connect(`http://127.0.0.1:${port}`);
    const isOpen = await new Promise((resolve) => {
      session.on('remoteSettings', () => resolve(true)).on('error', () => resolve(false));
    });
    if (isOpen) break;
    await pause(50);
  }
  keys.length = 0;
  const isOffered = session.remoteSettings.enableConnectProtocol;
  for (let n = 0; isOffered && n < 2; n += 1) {
    const headers = { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/', 'sec-websocket-version': '13' };
    const stream = session.request(headers);
    const [answer] = await once(stream, 'response');
    if (answer[':status'] !== 200) throw new Error(`It is answered with ${answer[':status']}.`);
  }
  session.destroy();
  child.kill();
  return isOffered ? [...keys] : undefined;
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

const seen = {};
for (const [name, program] of Object.entries(programs)) {
  const { stdout, stderr } = spawnSync(program.command[0], [program.version], { encoding: 'utf8' });
  const version = /\d+\.\d+\.\d+/.exec(stdout + stderr)?.[0];
  seen[name] = await keysOf(program);
  console.log(`  ${`${name} (${version})`.padEnd(34)} ${seen[name]?.join('  ') ?? 'not offered'}`);
}
const isDrawn = (two = []) => two.length === 2 && two[0] !== two[1];
const isAsFound =
  [seen.nginx, seen.Caddy, seen.Apache].every((two) => two === undefined) &&
  isDrawn(seen.HAProxy) &&
  isDrawn(seen['Apache, H2WebSockets on']) &&
  seen.lighttpd?.every((key) => key === Buffer.alloc(16, '0').toString('base64'));
process.exit(isAsFound ? 0 : 1);
END
echo 'Sec-WebSocket-Key of two WebSockets over HTTP/2, as the server behind gets them:'
LD_LIBRARY_PATH=$(echo tree/usr/lib/*-linux-gnu) node run.mjs
