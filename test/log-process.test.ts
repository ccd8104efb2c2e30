import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeOpenAI, readyCall } from './support/peers.ts';
import { portOf } from './support/port.ts';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  server.close();
  await once(server, 'close');
  return port;
}

/** The server in a process of its own, with a live call, whose log nobody reads or can be written. */
async function runWithCall(stdout: 'pipe' | number) {
  const openai = await FakeOpenAI.listen();
  cleanups.push(() => openai.close());
  const port = await freePort();
  const child = spawn(process.execPath, ['--import', 'tsx', 'main.ts'], {
    cwd: fileURLToPath(new URL('support', import.meta.url)),
    env: {
      PATH: process.env.PATH,
      HOST: '127.0.0.1',
      PORT: String(port),
      OPENAI_API_KEY: 'sk-test',
      OPENAI_REALTIME_URL: openai.url,
      ALLOW_UNSIGNED_REQUESTS: 'true',
      STANDBY_SESSIONS: '0',
    },
    stdio: ['ignore', stdout, 'inherit'],
  });
  cleanups.push(() => child.kill('SIGKILL'));
  const exited = once(child, 'exit').then(([code]) => code);
  const origin = `http://127.0.0.1:${port}`;
  await expect.poll(() => fetch(origin).then(({ status }) => status, String), { timeout: 10_000 }).toBe(200);
  return { child, exited, origin, ...(await readyCall(openai, origin)) };
}

describe('a log that is stuck', { timeout: 20_000 }, () => {
  it('Calls go on where nobody reads the log, and the process ends', async () => {
    const { child, exited, origin, twilio, session } = await runWithCall('pipe');
    // Each is logged, and a pipe holds 64 KiB.
    for (let n = 0; n < 400; n++)
      await (await fetch(`${origin}/incoming-call?CallSid=${'x'.repeat(200)}`)).text();
    session.say(20);
    await twilio.next('media');
    child.kill('SIGTERM');
    twilio.stop();
    expect(await exited).toBe(0);
  });

  it.runIf(existsSync('/dev/full'))(
    'Calls go on where the disk of the log is full, and the process ends',
    async () => {
      const { child, exited, twilio, session } = await runWithCall(openSync('/dev/full', 'w'));
      session.say(20);
      await twilio.next('media');
      child.kill('SIGINT');
      twilio.stop();
      expect(await exited).toBe(0);
    },
  );
});
