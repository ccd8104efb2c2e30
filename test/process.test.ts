import { once } from 'node:events';
import { existsSync, openSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { CALL, dialStream, FakeOpenAI, readyCall } from './support/peers.ts';
import { portOf } from './support/port.ts';
import { runServer, type ServerProcess } from './support/process.ts';
import { callTool } from './support/ring.ts';
import { rollingRestarts } from './support/rolling.ts';
import { rounds } from './support/rounds.ts';
import { STREAM } from './support/wire.ts';

/** Time for a process to start, in ms. */
const START_MS = 30_000;

const cleanups: (() => unknown)[] = [];
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

/** Starts a process, and kills it after the tests. */
function run(...args: Parameters<typeof runServer>) {
  const server = runServer(...args);
  cleanups.push(() => server.child.kill('SIGKILL'));
  return server;
}

/** A process without signatures, and its fake OpenAI. */
async function runOpen(env: Record<string, string> = {}, launch: Parameters<typeof runServer>[1] = {}) {
  const openai = await FakeOpenAI.listen();
  cleanups.push(() => openai.close());
  const server = run({ ALLOW_UNSIGNED_REQUESTS: 'true', OPENAI_REALTIME_URL: openai.url, ...env }, launch);
  return { ...server, openai };
}

/** The same with a live call. */
async function runWithCall(...args: Parameters<typeof runOpen>) {
  const server = await runOpen(...args);
  const origin = await server.listening;
  return { ...server, origin, ...(await readyCall(server.openai, origin)) };
}

function untilStopping(origin: string): Promise<void> {
  return vi.waitFor(async () => expect((await fetch(origin)).status).toBe(503), { timeout: 5_000 });
}

async function lastWords(origin: string): Promise<string> {
  return (await fetch(`${origin}/call-ended?CallSid=${CALL}`)).text();
}

/** A folder with this `.env`, which is gone after the tests. */
async function folderWith(env: string | Buffer): Promise<string> {
  const cwd = await mkdtemp(join(tmpdir(), 'voice-relay-'));
  cleanups.push(() => rm(cwd, { recursive: true }));
  await writeFile(join(cwd, '.env'), env);
  return cwd;
}

async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  server.close();
  await once(server, 'close');
  return String(port);
}

describe.concurrent('The process', { timeout: 60_000 }, () => {
  it('loses no call while each of three servers behind a balancer restarts', async () => {
    const leastCalls = rounds(50);
    const { calls, lost, exitCodes } = await rollingRestarts(leastCalls > 5 ? 6 : 3, leastCalls);
    expect(lost).toEqual([]);
    expect(calls).toBeGreaterThanOrEqual(leastCalls);
    expect(exitCodes).toEqual([0, 0, 0]);
  });

  it('ends though nobody reads its log, and calls go on until then', async () => {
    const { child, exited, listening, openai } = await runOpen();
    const origin = await listening;
    child.stdout?.pause();
    // Each request is logged. All of them prepare the same call, so that it can be claimed.
    const callSid = 'x'.repeat(200);
    const ring = () =>
      fetch(`${origin}/incoming-call?CallSid=${callSid}`).then((response) => response.text());
    for (let n = 0; n < 10; n++) await Promise.all(Array.from({ length: 50 }, ring));
    const session = await openai.dialled();
    await session.configure();
    const twilio = await dialStream(origin);
    twilio.start(callSid);
    session.say(20);
    await twilio.next('media');
    child.kill('SIGTERM');
    twilio.stop();
    expect(await exited).toBe(0);
  });

  it.runIf(existsSync('/dev/full'))('ends though the disk of its log is full', async () => {
    const port = await freePort();
    const { child, exited, openai } = await runOpen({ PORT: port }, { stdout: openSync('/dev/full', 'w') });
    const origin = `http://127.0.0.1:${port}`;
    await vi.waitFor(() => fetch(origin), { timeout: START_MS });
    const { twilio, session } = await readyCall(openai, origin);
    session.say(20);
    await twilio.next('media');
    child.kill('SIGINT');
    twilio.stop();
    expect(await exited).toBe(0);
  });

  it('closes live calls with 1001 after the grace, and apologises', async () => {
    const { child, exited, lines, origin, twilio, session } = await runWithCall({
      SHUTDOWN_GRACE_SECONDS: '1',
    });
    child.kill('SIGTERM');
    // Nobody can say goodbye now.
    await session.next('conversation.item.create');
    session.socket.terminate();
    expect((await twilio.closed).code).toBe(1001);
    expect(await lastWords(origin)).toContain('<Say>I am sorry');
    expect(await exited).toBe(0);
    expect(lines).toContainEqual(
      expect.objectContaining({ msg: 'call ended', reason: 'shutdown', streamSid: STREAM }),
    );
  });

  describe.concurrent('without a call', () => {
    let server: ServerProcess;
    let origin: string;
    beforeAll(async () => {
      server = run({ ALLOW_UNSIGNED_REQUESTS: 'true' });
      origin = await server.listening;
    }, START_MS);

    it('warns at its start that it lets anyone in', () => {
      const advice = expect.stringContaining('ALLOW_UNSIGNED');
      expect(server.lines).toContainEqual(
        expect.objectContaining({ level: 40, msg: 'unsafe setting', advice }),
      );
    });

    it('exits with 0 on SIGTERM, whatever clients hold open', async () => {
      // A keep-alive connection, a silent one, and half a request.
      await (await fetch(origin)).text();
      for (const text of ['', 'GET / HTTP/1.1\r\nHost: a']) {
        const client = connect(Number(new URL(origin).port), '127.0.0.1');
        client.on('error', () => {});
        await once(client, 'connect');
        client.write(text);
      }
      server.child.kill('SIGTERM');
      expect(await server.exited).toBe(0);
    });
  });

  it('takes two signals at once for one, and exits with 0 after its last call', async () => {
    const { child, exited, lines, origin, twilio, session } = await runWithCall();
    child.kill('SIGINT');
    child.kill('SIGTERM');
    await untilStopping(origin);
    twilio.media(0);
    await session.next('input_audio_buffer.append');
    twilio.stop();
    expect(await exited).toBe(0);
    expect(lines).toContainEqual(expect.objectContaining({ msg: 'call ended', reason: 'twilio stopped' }));
  });

  it('exits with 1 on a second signal that comes a second after the first', async () => {
    const { child, exited, origin } = await runWithCall();
    child.kill('SIGINT');
    await untilStopping(origin);
    // The process has a clock of its own.
    await pause(1_000);
    child.kill('SIGINT');
    expect(await exited).toBe(1);
  });

  it('apologises for a call that fails in the grace', async () => {
    const { child, exited, origin, twilio, session } = await runWithCall();
    child.kill('SIGTERM');
    await untilStopping(origin);
    session.socket.close(3000, 'invalid_api_key');
    await twilio.closed;
    expect(await lastWords(origin)).toContain('<Say>I am sorry');
    expect(await exited).toBe(0);
  });

  it("survives the errors that escape from the owner's code, and logs whose they are", async () => {
    const { child, exited, lines, openai, origin, twilio, session } = await runWithCall(
      {},
      { main: 'careless.ts' },
    );
    const other = await dialStream(origin);
    other.start('CA2');
    const second = await openai.dialled();
    await second.configure();
    const tools = ['rejects', 'throws', 'emits', 'listens', 'thens', 'fetches'];
    for (const tool of tools) callTool(session, tool, '{}', tool);
    for (const _ of tools) await session.next('conversation.item.create');
    twilio.stop();
    const escaped = () => lines.filter(({ msg }) => msg === 'error escaped');
    await vi.waitFor(() => expect(escaped()).toHaveLength(9), { timeout: 5_000 });
    const ofTool = {
      rejects: 'floating',
      throws: 'timer',
      emits: /emitter/,
      listens: 'listener',
      thens: 'thenable',
    };
    const err = (message: string | RegExp) =>
      expect.objectContaining({ message: expect.stringMatching(message) });
    for (const [tool, message] of Object.entries({ ...ofTool, fetches: 'aborted' })) {
      expect(escaped()).toContainEqual(expect.objectContaining({ callSid: CALL, tool, err: err(message) }));
    }
    expect(escaped()).toContainEqual(expect.objectContaining({ callSid: CALL, err: err('answer') }));
    const ofEnded = { callSid: CALL, hook: 'ended', err: err('EISDIR') };
    expect(escaped()).toContainEqual(expect.objectContaining(ofEnded));
    expect(escaped()).toContainEqual(expect.objectContaining({ err: err('module') }));
    second.say(20);
    await other.next('media');
    other.stop();
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
  });

  it('drains and exits with 1 after an error of its own', async () => {
    const { child, exited, lines, origin, twilio, session } = await runWithCall({}, { main: 'careless.ts' });
    child.kill('SIGUSR2');
    await untilStopping(origin);
    session.say(20);
    await twilio.next('media');
    twilio.stop();
    expect(await exited).toBe(1);
    const err = expect.objectContaining({ message: 'a bug of ours' });
    expect(lines).toContainEqual(expect.objectContaining({ msg: 'uncaught error', level: 60, err }));
    expect(lines).toContainEqual(expect.objectContaining({ msg: 'call ended', reason: 'twilio stopped' }));
  });

  it('says that its .env is in UTF-16', async () => {
    const cwd = await folderWith(Buffer.from('\ufeffOPENAI_API_KEY=sk-test\n', 'utf16le'));
    const { stderr, exited } = run({ OPENAI_API_KEY: undefined }, { cwd });
    expect(await stderr).toBe(".env can't be read: it is in UTF-16, save it as UTF-8\n");
    expect(await exited).toBe(1);
  });

  it('names the variables of its .env that it does not know', async () => {
    const cwd = await folderWith('OPENAI_API_KEY=sk-test\nMAX_CALL_SECOND=60\nSHOP=7\n');
    const { child, exited, lines, listening } = run(
      { OPENAI_API_KEY: undefined, ALLOW_UNSIGNED_REQUESTS: 'true', STANDBY_SESSIONS: '0' },
      { cwd },
    );
    await listening;
    const variables = ['MAX_CALL_SECOND', 'SHOP'];
    expect(lines).toContainEqual(expect.objectContaining({ msg: 'unknown variables', variables }));
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
  });

  it('names each setting that it lacks in a line of its own', async () => {
    const { stderr, exited } = run({ OPENAI_API_KEY: '', PORT: 'x' });
    const names = (await stderr)
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0]);
    expect(names).toEqual(['OPENAI_API_KEY', 'TWILIO_AUTH_TOKEN', 'PORT']);
    expect(await exited).toBe(1);
  });

  it('names each mistake of the assistant in a line of its own', async () => {
    const CHANGES = JSON.stringify({ voice: { id: 7 }, instruction: 'x' });
    const { stderr, exited } = run({ TWILIO_AUTH_TOKEN: 'token', CHANGES });
    expect(await stderr).toBe(
      'src/assistant.ts: voice: id: must be a string, and not empty.\nsrc/assistant.ts: instruction: there is no such setting.\n',
    );
    expect(await exited).toBe(1);
  });

  it('says that its port is taken, and how to mend that', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    cleanups.push(() => taken.close());
    await once(taken, 'listening');
    const { stderr, exited } = run({ TWILIO_AUTH_TOKEN: 'token', PORT: String(portOf(taken)) });
    expect(await stderr).toMatch(
      /^The server can't listen on 127.0.0.1:\d+: .*\n.* set PORT to a free one\.\n$/,
    );
    expect(await exited).toBe(1);
  });

  describe.concurrent('in development', () => {
    let server: ServerProcess;
    let openai: FakeOpenAI;
    let origin: string;
    beforeAll(async () => {
      const cwd = await mkdtemp(join(tmpdir(), 'voice-relay-'));
      cleanups.push(() => rm(cwd, { recursive: true }));
      openai = await FakeOpenAI.listen();
      cleanups.push(() => openai.close());
      server = run({ OPENAI_API_KEY: undefined }, { cwd, flags: ['--dev'] });
      if (server.child.stderr === null) throw new Error('stderr is no pipe');
      for await (const line of createInterface(server.child.stderr)) if (line.includes('Waiting for')) break;
      const settings = {
        OPENAI_API_KEY: 'sk-test',
        ALLOW_UNSIGNED_REQUESTS: 'true',
        OPENAI_REALTIME_URL: openai.url,
      };
      await writeFile(
        join(cwd, 'new'),
        Object.entries(settings)
          .map(([name, value]) => `${name}=${value}\n`)
          .join(''),
      );
      // Atomically: a half-written file would be another mistake.
      await rename(join(cwd, 'new'), join(cwd, '.env'));
      origin = await server.listening;
    }, START_MS);

    it('waits until a mistake in .env is mended', async () => {
      expect((await server.stderr).match(/Waiting for src\/ or .env/g)).toHaveLength(1);
    });

    it('loads the assistant anew with what .env says then', async () => {
      const openai = await FakeOpenAI.listen();
      cleanups.push(() => openai.close());
      const settings = `ALLOW_UNSIGNED_REQUESTS=true\nOPENAI_REALTIME_URL=${openai.url}\n`;
      const cwd = await folderWith(`${settings}CHANGES='{"greeting":"One"}'\n`);
      const { listening, lines } = run({ STANDBY_SESSIONS: '1' }, { cwd, flags: ['--dev'] });
      const greeting = async () => JSON.stringify(await (await openai.dialled()).begin());
      await listening;
      expect(await greeting()).toContain('One');
      await writeFile(join(cwd, 'new'), `${settings}CHANGES='{"greeting":"Two"}'\n`);
      await rename(join(cwd, 'new'), join(cwd, '.env'));
      expect(await greeting()).toContain('Two');
      expect(lines).toContainEqual(expect.objectContaining({ msg: 'shutting down', changed: '.env' }));
    });

    it('ends live calls at once, and properly, on a restart', async () => {
      const { child, exited, lines } = server;
      const { twilio } = await readyCall(openai, origin);
      child.kill('SIGTERM');
      expect((await twilio.closed).code).toBe(1001);
      expect(await lastWords(origin)).toContain('<Say>I am sorry');
      expect(await exited).toBe(0);
      expect(lines).toContainEqual(expect.objectContaining({ msg: 'call ended', reason: 'shutdown' }));
    });
  });
});
