#!/usr/bin/env bash
# Caddy's reload is called graceful, and is for HTTP requests. A WebSocket that Caddy passes on is closed by it at once: the
# client gets 1001. The server gets a close frame too, from Caddy as its client, and it is not masked, as a client's frames
# have to be (RFC 6455, 5.1): the package ws reports an error and the code 1006 in place of 1001.
set -euo pipefail
CADDY=2.6.2-5 WS=8.23.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p debs/partial
apt-get -qq -o Debug::NoLocking=1 -o Dir::Cache::archives="$folder/debs" --download-only --reinstall --yes \
  --no-install-recommends install "caddy=$CADDY" >/dev/null 2>&1 ||
  { echo "There is no caddy=$CADDY to be had here." >&2; exit 2; }
for package in debs/*.deb; do dpkg-deb -x "$package" tree; done
npm install --silent --no-save --prefix . "ws@$WS" >/dev/null

cat >run.mjs <<'END'
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { WebSocket, WebSocketServer } from 'ws';

const CADDY = 'tree/usr/bin/caddy';
const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
await once(server, 'listening');
const probe = createServer().listen(0, '127.0.0.1');
await once(probe, 'listening');
const { port } = probe.address();
await new Promise((done) => probe.close(done));
writeFileSync(
  'Caddyfile',
  `{\nadmin unix/${process.cwd()}/admin\n}\nhttp://127.0.0.1:${port} {\nreverse_proxy 127.0.0.1:${server.address().port}\n}\n`,
);
const options = ['--config', 'Caddyfile', '--adapter', 'caddyfile'];
const env = { PATH: process.env.PATH, HOME: process.cwd() };
const caddy = spawn(CADDY, ['run', ...options], { env, stdio: 'ignore' });
process.on('exit', () => caddy.kill());

const accepted = once(server, 'connection');
let client;
for (;;) {
  client = new WebSocket(`ws://127.0.0.1:${port}`);
  const isOpen = await new Promise((resolve) => {
    client.on('open', () => resolve(true)).on('error', () => resolve(false));
  });
  if (isOpen) break;
  await pause(50);
}
const [peer, request] = await accepted;
const bytes = [];
request.socket.on('data', (chunk) => bytes.push(chunk));
let error;
peer.on('error', ({ message }) => {
  error = message;
});
const closes = Promise.all([client, peer].map((end) => new Promise((resolve) => end.on('close', resolve))));
spawnSync(CADDY, ['reload', '--force', ...options], { env, stdio: 'ignore' });
const [clientCode, serverCode] = await closes;
caddy.kill();

const frame = Buffer.concat(bytes).toString('hex');
console.log(`Caddy ${spawnSync(CADDY, ['version'], { encoding: 'utf8' }).stdout.trim()}, Node ${process.version}`);
console.log(`  the client sees close ${clientCode}`);
console.log(`  the server is sent    ${frame}  (88: close; its mask bit, 80 of the next byte, isn't set; 03e9: 1001)`);
console.log(`  the server's ws sees  close ${serverCode}, error "${error}"`);
const isAsFound = clientCode === 1001 && frame === '880203e9' && serverCode === 1006 && error?.includes('MASK');
process.exit(isAsFound ? 0 : 1);
END
node run.mjs
