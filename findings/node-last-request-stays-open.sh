#!/usr/bin/env bash
# A server that answers with "Connection: close" is expected to close the connection then (RFC 9112, 9.6), and Node's does, if the
# handler has set that header, or the client. With `maxRequestsPerSocket`, Node writes the same header into the last response
# by itself, but leaves closing to the client: the connection stays until `keepAliveTimeout` is over. So a limit of requests
# alone frees no connection of a client that waits for the server, as one that reads a body without a length does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >server.mjs <<'END'
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';

const KEEP_ALIVE_MS = 2_000;

/** For how long the connection stays after the whole response has come, in ms. */
async function staysFor(name, options, headers) {
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, ...options }, (_request, response) => {
    response.writeHead(200, { 'content-length': 2, ...headers }).end('ok');
  });
  Object.assign(server, options);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect(server.address().port, '127.0.0.1');
  let text = '';
  const whole = new Promise((resolve) => {
    socket.on('data', (data) => {
      text += data;
      if (text.endsWith('\r\n\r\nok')) resolve();
    });
  });
  socket.write('GET / HTTP/1.1\r\nHost: relay.example.com\r\n\r\n');
  await whole;
  const began = performance.now();
  await once(socket, 'close');
  const ms = Math.round(performance.now() - began);
  const [header] = /^connection: .*$/im.exec(text) ?? ['no Connection header'];
  const stays = ms > KEEP_ALIVE_MS / 2 ? 'stays' : 'closes';
  console.log(`  ${name.padEnd(34)} ${header.padEnd(18)} ${stays} (${ms} ms)`);
  server.close();
  return `${header.toLowerCase()}, ${stays}`;
}

console.log(`Node ${process.version}, keepAliveTimeout ${KEEP_ALIVE_MS} ms`);
const byHandler = await staysFor('header set by the handler', {}, { connection: 'close' });
const byLimit = await staysFor('maxRequestsPerSocket: 1', { maxRequestsPerSocket: 1 }, {});
const byBoth = await staysFor('both', { maxRequestsPerSocket: 1 }, { connection: 'close' });
const isAsFound =
  byHandler === 'connection: close, closes' && byLimit === 'connection: close, stays' && byBoth === byHandler;
process.exit(isAsFound ? 0 : 1);
END

for version in 20.20.2 24.21.0 26.10.0; do
  npm install --silent --no-save --prefix "$version" "node@$version" >/dev/null
  "$version/node_modules/node/bin/node" server.mjs
done
