import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CALL, FakeOpenAI, readyCall } from './support/peers.ts';
import { runServer } from './support/process.ts';
import { audio, STREAM } from './support/wire.ts';

describe('the process', { timeout: 20_000 }, () => {
  /** The server in a process of its own, which is gone after the test. */
  function run(...args: Parameters<typeof runServer>) {
    const server = runServer(...args);
    onTestFinished(() => void server.child.kill('SIGKILL'));
    return server;
  }

  /** The same with a live call, whose OpenAI is the test. */
  async function runWithCall(env: Record<string, string> = {}) {
    const openai = await FakeOpenAI.listen();
    onTestFinished(() => openai.close());
    const server = run({ ALLOW_UNSIGNED_REQUESTS: 'true', OPENAI_REALTIME_URL: openai.url, ...env });
    const origin = await server.listening;
    return { ...server, origin, ...(await readyCall(openai, origin)) };
  }

  async function stderr(child: ChildProcess): Promise<string> {
    let text = '';
    child.stderr?.on('data', (chunk) => {
      text += chunk;
    });
    await once(child, 'close');
    return text;
  }

  it('The process does not start without what it needs, and says in a line each what that is', async () => {
    const { child, exited } = run({ OPENAI_API_KEY: '', PORT: 'x' });
    const lines = (await stderr(child)).trim().split('\n');
    expect(lines.map((line) => line.split(' ')[0])).toEqual(['OPENAI_API_KEY', 'TWILIO_AUTH_TOKEN', 'PORT']);
    expect(await exited).toBe(1);
  });

  it('The process warns at its start that it lets anyone in', async () => {
    const { listening, lines } = run({ ALLOW_UNSIGNED_REQUESTS: 'true' });
    await listening;
    expect(lines).toContainEqual(
      expect.objectContaining({ level: 40, msg: expect.stringContaining('ALLOW_UNSIGNED') }),
    );
  });

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'The process exits with 0 at once on %s when there is no call',
    async (signal) => {
      const { child, listening, exited } = run({ TWILIO_AUTH_TOKEN: 'token' });
      const origin = await listening;
      const keptAlive = await fetch(origin);
      await keptAlive.text();
      child.kill(signal);
      expect(await exited).toBe(0);
    },
  );

  it.each(['', 'GET / HTTP/1.1\r\nHost: a'])(
    'The process exits with 0 at once though a client has said no more than %j',
    async (text) => {
      const { child, listening, exited } = run({ TWILIO_AUTH_TOKEN: 'token' });
      const { port } = new URL(await listening);
      const client = connect(Number(port), '127.0.0.1');
      client.on('error', () => {});
      await once(client, 'connect');
      client.write(text);
      child.kill('SIGTERM');
      expect(await exited).toBe(0);
    },
  );

  it('The process says in a line that its port is taken', async () => {
    const { listening } = run({ TWILIO_AUTH_TOKEN: 'token' });
    const { port } = new URL(await listening);
    const second = run({ TWILIO_AUTH_TOKEN: 'token', PORT: port });
    expect(await stderr(second.child)).toMatch(
      /^The server can't listen on 127.0.0.1:\d+: .*\n.* set PORT to a free one\.\n$/,
    );
    expect(await second.exited).toBe(1);
  });

  it('The caller gets an apology when a call fails in the grace', async () => {
    const { child, exited, origin, twilio, session } = await runWithCall();
    child.kill('SIGTERM');
    await expect.poll(async () => (await fetch(origin)).status).toBe(503);
    session.socket.close(3000, 'invalid_api_key');
    await twilio.closed;
    expect(await (await fetch(`${origin}/call-ended?CallSid=${CALL}`)).text()).toContain('<Say>I am sorry');
    expect(await exited).toBe(0);
  });

  it('Live calls go on after a signal, and the process exits with 0 when the end of the last is logged', async () => {
    const { child, exited, lines, origin, twilio, session } = await runWithCall();
    child.kill('SIGTERM');
    await expect.poll(async () => (await fetch(origin)).status).toBe(503);
    twilio.media(0, audio(20));
    await session.next('input_audio_buffer.append');
    twilio.stop();
    expect(await exited).toBe(0);
    expect(lines).toContainEqual(expect.objectContaining({ msg: 'call ended', reason: 'twilio stopped' }));
  });

  it('Live calls are closed with 1001 after the grace, and their callers get an apology', async () => {
    const { child, exited, lines, origin, twilio } = await runWithCall({ SHUTDOWN_GRACE_SECONDS: '1' });
    child.kill('SIGTERM');
    expect((await twilio.closed).code).toBe(1001);
    expect(await (await fetch(`${origin}/call-ended?CallSid=${CALL}`)).text()).toContain('<Say>I am sorry');
    expect(await exited).toBe(0);
    expect(lines).toContainEqual(
      expect.objectContaining({ msg: 'call ended', reason: 'shutdown', streamSid: STREAM }),
    );
  });

  it('The process exits with 1 at once on a second signal that comes a second after the first', async () => {
    const { child, exited, origin } = await runWithCall();
    child.kill('SIGINT');
    await expect.poll(async () => (await fetch(origin)).status).toBe(503);
    // Its clock is not in our hands.
    await pause(1_000);
    child.kill('SIGINT');
    expect(await exited).toBe(1);
  });

  it('A second signal that comes at once is the same one, and lets live calls go on', async () => {
    const { child, exited, origin, twilio, session } = await runWithCall();
    child.kill('SIGINT');
    child.kill('SIGTERM');
    await expect.poll(async () => (await fetch(origin)).status).toBe(503);
    twilio.media(0, audio(20));
    await session.next('input_audio_buffer.append');
    twilio.stop();
    expect(await exited).toBe(0);
  });

  it('A restart in development ends live calls at once, and properly', async () => {
    const openai = await FakeOpenAI.listen();
    onTestFinished(() => openai.close());
    const env = { ALLOW_UNSIGNED_REQUESTS: 'true', OPENAI_REALTIME_URL: openai.url };
    const { child, exited, lines, listening } = run(env, '--dev');
    const origin = await listening;
    const { twilio } = await readyCall(openai, origin);
    child.kill('SIGTERM');
    expect((await twilio.closed).code).toBe(1001);
    expect(await (await fetch(`${origin}/call-ended?CallSid=${CALL}`)).text()).toContain('<Say>I am sorry');
    expect(await exited).toBe(0);
    expect(lines).toContainEqual(expect.objectContaining({ msg: 'call ended', reason: 'shutdown' }));
  });

  it('A mistake in .env can be mended in development, and nothing has to be started again', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'voice-relay-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const main = fileURLToPath(new URL('support/main.ts', import.meta.url));
    const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), main, '--dev'], {
      cwd: folder,
      env: { PATH: process.env.PATH, HOST: '127.0.0.1', PORT: '0', STANDBY_SESSIONS: '0' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    const errors = createInterface({ input: child.stderr });
    const said: string[] = [];
    const waiting = new Promise<void>((resolve) => {
      errors.on('line', (line) => {
        said.push(line);
        if (line.includes('Waiting for .env')) resolve();
      });
    });
    await waiting;
    await writeFile(join(folder, '.env'), 'OPENAI_API_KEY=sk-test\nTWILIO_AUTH_TOKEN=token\n');
    for await (const line of createInterface({ input: child.stdout })) if (line.includes('listening')) break;
    expect(said.filter((line) => line.includes('Waiting'))).toHaveLength(1);
  });
});
