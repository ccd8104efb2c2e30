import { connect, createServer, type Socket } from 'node:net';
import { portOf } from './port.ts';

/** Time before the next server is tried, and between health checks, in ms. */
const RETRY_MS = 20;
const CHECK_MS = 300;

/**
 * A balancer for servers at these ports, one connection after another. It skips those whose health check fails, and
 * tries the next if one refuses, or closes without a byte.
 */
export async function startBalancer(ports: readonly number[]) {
  let turn = 0;
  let up = ports;
  const checking = setInterval(async () => {
    const all = await Promise.all(ports.map(async (port) => ({ port, isUp: await isUp(port) })));
    up = all.filter(({ isUp }) => isUp).map(({ port }) => port);
  }, CHECK_MS);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const asked: Buffer[] = [];
    client.on('error', () => client.destroy());
    client.on('close', () => sockets.delete(client));
    client.on('data', (chunk) => asked.push(chunk));
    sockets.add(client);
    tryNext();

    function tryNext(): void {
      turn += 1;
      const port = up[turn % up.length] ?? 0;
      const upstream = connect(port, '127.0.0.1');
      let isAnswered = false;
      for (const chunk of asked) upstream.write(chunk);
      const passOn = (chunk: Buffer) => upstream.write(chunk);
      client.on('data', passOn);
      client.once('close', () => upstream.destroy());
      upstream.on('data', (chunk) => {
        isAnswered = true;
        asked.length = 0;
        client.write(chunk);
      });
      upstream.on('error', () => {});
      upstream.on('close', () => {
        client.off('data', passOn);
        if (isAnswered || client.destroyed) client.end();
        else setTimeout(tryNext, RETRY_MS);
      });
    }
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    origin: `http://127.0.0.1:${portOf(server)}`,
    close() {
      clearInterval(checking);
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function isUp(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}`).then(
    ({ ok }) => ok,
    () => false,
  );
}
