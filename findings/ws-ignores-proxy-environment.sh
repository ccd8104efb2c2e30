#!/usr/bin/env bash
# With NODE_USE_ENV_PROXY=1, Node 24 sends https, fetch and its own WebSocket through the proxy that HTTPS_PROXY names. The
# package ws, which dials by https.request, goes past it without a word: it gives https.request a createConnection of its own,
# and then no agent is used, not even the global one, which knows the proxy. Named as `agent`, that very agent is used.
set -euo pipefail
NODE=24.21.0 WS=8.23.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --prefix . "node@$NODE" "ws@$WS" >/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem 2>/dev/null

cat >dial.mjs <<'END'
import { once } from 'node:events';
import https from 'node:https';
import { WebSocket as Ws } from 'ws';

const url = `wss://localhost:${process.argv[2]}`;
const dial = {
  'https.get': async () => once(https.get(url.replace('wss', 'https')), 'response'),
  fetch: () => fetch(url.replace('wss', 'https')),
  WebSocket: () => once(new WebSocket(url), 'open'),
  ws: () => once(new Ws(url), 'open'),
  'ws, agent: https.globalAgent': () => once(new Ws(url, { agent: https.globalAgent }), 'open'),
}[process.argv[3]];
await dial();
process.exit();
END

cat >run.mjs <<'END'
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import https from 'node:https';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import { WebSocketServer } from 'ws';

const tls = { key: readFileSync('key.pem'), cert: readFileSync('cert.pem') };
const target = https.createServer(tls, (_request, response) => response.end());
new WebSocketServer({ server: target });
let connects = 0;
const proxy = createServer().on('connect', ({ url }, client) => {
  connects += 1;
  const upstream = connect(url.split(':')[1], '127.0.0.1', () => {
    client.write('HTTP/1.1 200 OK\r\n\r\n');
    client.pipe(upstream).pipe(client);
  });
  for (const socket of [client, upstream]) socket.on('error', () => {});
});
target.listen(0, 'localhost');
proxy.listen(0, '127.0.0.1');
await Promise.all([once(target, 'listening'), once(proxy, 'listening')]);
const address = `http://127.0.0.1:${proxy.address().port}`;
const env = { NODE_USE_ENV_PROXY: '1', HTTPS_PROXY: address, NODE_EXTRA_CA_CERTS: 'cert.pem' };

const expected = { 'https.get': 1, fetch: 1, WebSocket: 1, ws: 0, 'ws, agent: https.globalAgent': 1 };
let isAsFound = true;
console.log(`Node ${process.version}, ws ${process.argv[2]}: CONNECT requests that the proxy saw`);
for (const [name, count] of Object.entries(expected)) {
  connects = 0;
  await promisify(execFile)(process.execPath, ['dial.mjs', target.address().port, name], { env });
  console.log(`  ${name.padEnd(30)} ${connects}`);
  isAsFound &&= connects === count;
}
process.exit(isAsFound ? 0 : 1);
END
node_modules/node/bin/node run.mjs "$WS"
