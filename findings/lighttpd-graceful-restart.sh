#!/usr/bin/env bash
# A graceful restart lets connections end by themselves, and a WebSocket is one for as long as it lives. hitch, stunnel (SIGHUP)
# and Varnish (vcl.use) keep it and take new connections meanwhile. lighttpd (SIGUSR1) does neither: nobody new is served while
# the WebSocket is there, and it is cut after 8 s, without a close frame, though both ends send.
#
# Varnish is left out if there is no gcc, which it needs.
set -euo pipefail
WS=8.23.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p debs/partial
packages=(lighttpd=1.4.69-1 hitch=1.7.2-1+b1 stunnel4=3:5.68-2+deb12u1)
if command -v gcc >/dev/null; then packages+=(varnish=7.1.1-2+deb12u1); fi
for package in "${packages[@]}"; do
  apt-get -qq -o Debug::NoLocking=1 -o Dir::Cache::archives="$folder/debs" --download-only --reinstall --yes \
    --no-install-recommends install "$package" >/dev/null 2>&1 ||
    { echo "There is no $package to be had here." >&2; exit 2; }
done
for package in debs/*.deb; do dpkg-deb -x "$package" tree; done
npm install --silent --no-save --prefix . "ws@$WS" >/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout key.pem -out cert.pem 2>/dev/null
cat key.pem cert.pem >both.pem

cat >run.mjs <<'END'
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { WebSocket, WebSocketServer } from 'ws';

const WATCHED_MS = 14_000;
/** When another WebSocket is dialled after a reload. */
const DIALLED_MS = 2_000;
const here = process.cwd();
const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
await once(server, 'listening');
const to = server.address().port;
server.on('connection', (socket) => {
  socket.on('error', () => {});
  send(socket);
});

const vcl = `vcl 4.1; backend default { .host = "127.0.0.1"; .port = "${to}"; }
sub vcl_recv { return (pipe); }
sub vcl_pipe { set bereq.http.upgrade = req.http.upgrade; set bereq.http.connection = req.http.connection; }`;
const programs = {
  lighttpd: {
    scheme: 'ws',
    path: 'tree/usr/sbin/lighttpd',
    version: '-v',
    args: (file) => ['-D', '-m', `${here}/tree/usr/lib/lighttpd`, '-f', file],
    config: (port) => `server.bind = "127.0.0.1"\nserver.port = ${port}\nserver.document-root = "${here}"
server.modules = ("mod_proxy")\nproxy.header = ("upgrade" => "enable")
proxy.server = ("" => (("host" => "127.0.0.1", "port" => ${to})))\n`,
    reload: (child) => child.kill('SIGUSR1'),
  },
  hitch: {
    scheme: 'wss',
    path: 'tree/usr/sbin/hitch',
    version: '--version',
    args: (file) => [`--config=${file}`],
    config: (port) => `frontend = "[127.0.0.1]:${port}"\nbackend = "[127.0.0.1]:${to}"\npem-file = "${here}/both.pem"
workers = 1\ndaemon = off\n${process.getuid() === 0 ? 'user = "nobody"' : ''}\n`,
    reload: (child) => child.kill('SIGHUP'),
  },
  stunnel: {
    scheme: 'wss',
    path: 'tree/usr/bin/stunnel4',
    version: '-version',
    args: (file) => [file],
    config: (port) => `foreground = yes\npid =\n[relay]\naccept = 127.0.0.1:${port}\nconnect = 127.0.0.1:${to}
cert = ${here}/both.pem\n`,
    reload: (child) => child.kill('SIGHUP'),
  },
  Varnish: {
    scheme: 'ws',
    path: 'tree/usr/sbin/varnishd',
    version: '-V',
    args: (file, port) => ['-F', '-j', 'none', '-n', `${here}/varnish`, '-a', `127.0.0.1:${port}`, '-f', file],
    config: () => vcl,
    reload: (_child, file) => {
      for (const command of [['vcl.load', 'again', file], ['vcl.use', 'again']]) {
        const { status } = spawnSync('tree/usr/bin/varnishadm', ['-n', `${here}/varnish`, ...command]);
        if (status !== 0) throw new Error(`varnishadm ${command[0]} has failed.`);
      }
    },
  },
};

function send(socket) {
  const timer = setInterval(() => socket.send('x'), 100);
  socket.on('close', () => clearInterval(timer));
}

async function open(scheme, port) {
  for (;;) {
    const socket = new WebSocket(`${scheme}://127.0.0.1:${port}/`, { rejectUnauthorized: false });
    const isOpen = await new Promise((resolve) => {
      socket.on('open', () => resolve(true)).on('error', () => resolve(false));
    });
    if (isOpen) return socket;
    await pause(50);
  }
}

/** What a reload does to a stream on which both ends send. */
async function fate({ scheme, path, args, config, reload }) {
  const port = await freePort();
  const file = `${here}/${port}.conf`;
  writeFileSync(file, config(port));
  const child = spawn(path, args(file, port), { stdio: 'ignore', env: { ...process.env, HOME: here } });
  process.on('exit', () => child.kill());
  const socket = await open(scheme, port);
  send(socket);
  const end = once(socket, 'close');
  await pause(500);
  reload(child, file);
  const began = performance.now();
  const secondsSince = (then) => `${((performance.now() - then) / 1_000).toFixed(1)} s`;
  const served = pause(DIALLED_MS).then(async () => {
    const dialled = performance.now();
    const another = await open(scheme, port);
    another.terminate();
    return secondsSince(dialled);
  });
  const code = await Promise.race([end.then(([closeCode]) => closeCode), pause(WATCHED_MS)]);
  const stream = code === undefined ? 'goes on' : `is cut after ${secondsSince(began)}, ${code}`;
  socket.terminate();
  return { stream, served: await served };
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

const installed = Object.entries(programs).filter(([, { path }]) => existsSync(path));
const fates = await Promise.all(installed.map(([, program]) => fate(program)));
let isAsFound = true;
for (const [n, [name, { path, version }]] of installed.entries()) {
  const { stdout, stderr } = spawnSync(path, [version], { encoding: 'utf8' });
  console.log(`${name} ${/\d+\.\d+(\.\d+)?/.exec(stdout + stderr)?.[0]}`.padEnd(18), fates[n].stream.padEnd(28), fates[n].served);
  const isKept = fates[n].stream === 'goes on' && Number.parseFloat(fates[n].served) < 3;
  const isLost = fates[n].stream.endsWith('s, 1006') && Number.parseFloat(fates[n].served) > 3;
  isAsFound &&= name === 'lighttpd' ? isLost : isKept;
}
process.exit(isAsFound ? 0 : 1);
END
echo 'What a reload does to a WebSocket on which both ends send, and how long another one waits, dialled 2 s later:'
PATH="$folder/tree/usr/sbin:$PATH" LD_LIBRARY_PATH=$(printf %s: tree/usr/lib/*-linux-gnu{,/varnish}) node run.mjs
