import dns from 'node:dns';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, isIP, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { startCall, startServerAt } from '../support/call.ts';
import { FakeOpenAI } from '../support/peers.ts';
import { portOf } from '../support/port.ts';
import { runServer } from '../support/process.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

/** A listener on `port` that accepts nothing while it is blocked, and then passes everything on to `target`. */
const BLOCKED = `
  const { createServer, connect } = require('node:net');
  const { parentPort, workerData: { gate, target } } = require('node:worker_threads');
  const server = createServer((socket) => {
    const onward = connect(target, '127.0.0.1');
    for (const end of [socket, onward]) end.on('error', () => {});
    socket.pipe(onward).pipe(socket);
  });
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    Atomics.wait(new Int32Array(gate), 0, 0);
  });
`;

/** A way to `openai` on which a first SYN is lost: the listener's backlog is full until `open` is called. */
async function lossyWay(openai: FakeOpenAI): Promise<{ port: number; open(): void }> {
  const gate = new SharedArrayBuffer(4);
  const target = Number(new URL(openai.url).port);
  const worker = new Worker(BLOCKED, { eval: true, workerData: { gate, target } });
  const [port] = await once(worker, 'message');
  const fillers: Socket[] = [];
  function open(): void {
    Atomics.store(new Int32Array(gate), 0, 1);
    Atomics.notify(new Int32Array(gate), 0);
    for (const filler of fillers) filler.destroy();
  }
  onTestFinished(async () => {
    open();
    await worker.terminate();
  });
  // The kernel accepts one more than the backlog.
  for (let n = 0; n < 2; n++) {
    const filler = connect(port, '127.0.0.1');
    filler.on('error', () => {});
    fillers.push(filler);
    await once(filler, 'connect');
  }
  return { port, open };
}

/** Has all names stand for `addresses`, and calls `then` when they have been dialled. */
function resolve(addresses: string[], then = () => {}): void {
  const found = addresses.map((address) => ({ address, family: isIP(address) }));
  function lookup(_name: string, _options: object, done: (error: null, addresses: object[]) => void): void {
    done(null, found);
    then();
  }
  vi.spyOn(dns, 'lookup').mockImplementation(lookup as typeof dns.lookup);
}

describe('A name with an address that has no route', () => {
  it('is dialled once though the first SYN to the other address is lost', async () => {
    const openai = await FakeOpenAI.listen();
    onTestFinished(() => openai.close());
    const { port, open } = await lossyWay(openai);
    const server = await startServerAt(`ws://openai.test:${port}/`);
    resolve(['127.0.0.1', 'fe80::1'], () => {
      // TCP repeats the SYN after a second.
      setTimeout(open, 400);
    });
    const twilio = await startCall(server);
    const session = await openai.dialled();
    await session.configure();
    twilio.stop();
    expect(await server.log.find('call ended')).toMatchObject({ reason: 'twilio stopped', retries: 0 });
  });
});

describe('A name without any route', () => {
  it('is logged with what each of its addresses met', async () => {
    const server = await startServerAt('ws://openai.test:1/');
    resolve(['127.0.0.1', '::1']);
    await startCall(server);
    expect(await server.log.find('call failed')).toMatchObject({
      error: { message: expect.stringMatching(/ECONNREFUSED 127\.0\.0\.1:1.*; .*::1/) },
    });
  });
});

describe('A proxy that HTTPS_PROXY names', () => {
  const OPENAI_REALTIME_URL = 'wss://openai.test/v1/realtime';
  const knowsVariable = process.allowedNodeEnvironmentFlags.has('--use-env-proxy');

  it.runIf(knowsVariable)(
    'is asked for OpenAI if NODE_USE_ENV_PROXY is set',
    async () => {
      const proxy = createServer().listen(0, '127.0.0.1');
      onTestFinished(() => void proxy.close());
      await once(proxy, 'listening');
      const { child } = runServer({
        ...{ OPENAI_REALTIME_URL, STANDBY_SESSIONS: '1', ALLOW_UNSIGNED_REQUESTS: 'true' },
        ...{ HTTPS_PROXY: `http://127.0.0.1:${portOf(proxy)}`, NODE_USE_ENV_PROXY: '1' },
      });
      onTestFinished(() => void child.kill('SIGKILL'));
      onTestFinished(() => void child.kill('SIGKILL'));
      const [request, socket] = await once(proxy, 'connect');
      socket.destroy();
      expect(request.url).toBe('openai.test:443');
    },
    30_000,
  );

  it.each(['HTTPS_PROXY', 'https_proxy'])('is logged as ignored if Node ignores it: %s', async (name) => {
    const { log } = await startServerAt(OPENAI_REALTIME_URL, { [name]: 'http://127.0.0.1:1' });
    expect(await log.find('HTTPS_PROXY ignored')).toMatchObject({
      advice: expect.stringContaining('NODE_USE_ENV_PROXY'),
    });
  });

  it('is not missed for an OpenAI that is reached without TLS', async () => {
    const { log } = await startServerAt('ws://127.0.0.1:1/', { HTTPS_PROXY: 'http://127.0.0.1:1' });
    expect(log.text).not.toContain('HTTPS_PROXY ignored');
  });
});
