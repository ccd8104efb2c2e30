import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { CALL, dialStream, FakeOpenAI, type OpenAIPeer, type TwilioPeer } from './support/peers.ts';
import { TestServer } from './support/server.ts';
import { audio, STREAM } from './support/wire.ts';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  vi.useRealTimers();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function listen(): Promise<FakeOpenAI> {
  const openai = await FakeOpenAI.listen();
  cleanups.push(() => openai.close());
  return openai;
}

async function readyCall(
  openai: FakeOpenAI,
  origin: string,
): Promise<{ twilio: TwilioPeer; session: OpenAIPeer }> {
  const twilio = await dialStream(origin);
  twilio.start();
  const session = await openai.dialled();
  await session.configure();
  await session.next('response.create');
  return { twilio, session };
}

describe('a peer that is gone without a word', () => {
  /** A call whose time is in the test's hands, and whose sides have been quiet for 0 s. */
  async function quietCall() {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    const openai = await listen();
    const server = await TestServer.start({ OPENAI_REALTIME_URL: openai.url });
    cleanups.push(() => server.app.close());
    const call = await readyCall(openai, server.origin);
    // One check takes in what has come so far.
    vi.advanceTimersByTime(5_000);
    return { server, ...call };
  }

  /** Passes time, with a pong answered by both ends each time that they are pinged. */
  async function passWithPongs(seconds: number, ...peers: WebSocket[]): Promise<void> {
    for (let passed = 0; passed < seconds; passed += 20) {
      const pings = peers.map((peer) => once(peer, 'ping'));
      vi.advanceTimersByTime(20_000);
      await Promise.all(pings);
      // The pong is on its way: a ping of the peer's own comes back after it was read.
      await Promise.all(peers.map((peer) => once(peer.ping() ?? peer, 'pong')));
    }
  }

  it('is pinged every 20 s on either side, and a pong keeps the call alive, though no frames come', async () => {
    const { server, twilio, session } = await quietCall();
    await passWithPongs(200, twilio.socket, session.socket);
    expect(server.calls.live).toBe(1);
  });

  it.each(['twilio', 'openai'] as const)(
    'ends the call when nothing comes from %s for 60 s',
    async (side) => {
      const { server, twilio, session } = await quietCall();
      const silent = side === 'twilio' ? twilio : session;
      const other = side === 'twilio' ? session : twilio;
      silent.socket.pause();
      await passWithPongs(40, other.socket);
      expect(server.calls.live).toBe(1);
      vi.advanceTimersByTime(25_000);
      expect(server.calls.live).toBe(0);
      expect(await server.log.find('call failed')).toMatchObject({ reason: `${side} silent` });
      silent.socket.terminate();
    },
  );

  it('is cut off when it does not finish its close within 2 s', async () => {
    const { server, twilio, session } = await quietCall();
    session.socket.pause();
    twilio.stop();
    await twilio.closed;
    vi.advanceTimersByTime(2_000);
    expect(await server.log.find('call ended')).toMatchObject({ openai: { code: 1006 } });
    session.socket.terminate();
  });
});

describe('a peer that stops reading', () => {
  it('ends the call with 1013 when it is Twilio, at the cost of 1 MiB', async () => {
    const openai = await listen();
    const server = await TestServer.start({ OPENAI_REALTIME_URL: openai.url });
    cleanups.push(() => server.app.close());
    const { twilio, session } = await readyCall(openai, server.origin);
    twilio.socket.pause();
    for (let n = 0; n < 3_000; n++) session.say(400);
    expect(await server.log.find('call failed')).toMatchObject({ reason: 'twilio stalled' });
    await session.closed;
    twilio.socket.resume();
    expect((await twilio.closed).code).toBe(1013);
  });

  it('ends the call when it is OpenAI', async () => {
    const openai = await listen();
    const server = await TestServer.start({ OPENAI_REALTIME_URL: openai.url });
    cleanups.push(() => server.app.close());
    const { twilio, session } = await readyCall(openai, server.origin);
    session.socket.pause();
    for (let n = 0; n < 3_000; n++) twilio.media(n * 400, audio(400));
    expect((await twilio.closed).code).toBe(1013);
    expect(await server.log.find('call failed')).toMatchObject({ reason: 'openai stalled' });
    session.socket.terminate();
  });
});

describe('the process', { timeout: 20_000 }, () => {
  /** The server as `npm start` runs it, once it listens. */
  async function run(env: Record<string, string>) {
    const child = spawn(process.execPath, ['--import', 'tsx', 'src/main.ts'], {
      env: {
        PATH: process.env.PATH,
        HOST: '127.0.0.1',
        PORT: '0',
        OPENAI_API_KEY: 'sk-test',
        STANDBY_SESSIONS: '0',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    cleanups.push(() => child.kill('SIGKILL'));
    const exited = once(child, 'exit').then(([code]) => code);
    const lines: Record<string, unknown>[] = [];
    const listening = new Promise<string>((resolve) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        lines.push(JSON.parse(line));
        const [, origin] = String(lines.at(-1)?.msg).match(/listening at (.*)/) ?? [];
        if (origin !== undefined) resolve(origin);
      });
    });
    return { child, exited, lines, listening };
  }

  async function stderr(child: ChildProcess): Promise<string> {
    let text = '';
    child.stderr?.on('data', (chunk) => {
      text += chunk;
    });
    await once(child, 'close');
    return text;
  }

  it('does not start without what it needs, and says in a line each what that is', async () => {
    const { child, exited } = await run({ OPENAI_API_KEY: '', PORT: 'x' });
    const lines = (await stderr(child)).trim().split('\n');
    expect(lines.map((line) => line.split(' ')[0])).toEqual(['OPENAI_API_KEY', 'TWILIO_AUTH_TOKEN', 'PORT']);
    expect(await exited).toBe(1);
  });

  it('warns at every start that it lets anyone in', async () => {
    const { child, listening, lines, exited } = await run({ ALLOW_UNSIGNED_REQUESTS: 'true' });
    await listening;
    expect(lines).toContainEqual(
      expect.objectContaining({ level: 40, msg: expect.stringContaining('ALLOW_UNSIGNED') }),
    );
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'exits with 0 at once on %s when there is no call',
    async (signal) => {
      const { child, listening, exited } = await run({ TWILIO_AUTH_TOKEN: 'token' });
      const origin = await listening;
      const keptAlive = await fetch(origin);
      await keptAlive.text();
      child.kill(signal);
      expect(await exited).toBe(0);
    },
  );

  it.each(['', 'GET / HTTP/1.1\r\nHost: a'])(
    'exits with 0 at once while a client has said no more than %j',
    async (text) => {
      const { child, listening, exited } = await run({ TWILIO_AUTH_TOKEN: 'token' });
      const { port } = new URL(await listening);
      const client = connect(Number(port), '127.0.0.1');
      client.on('error', () => {});
      await once(client, 'connect');
      client.write(text);
      child.kill('SIGTERM');
      expect(await exited).toBe(0);
    },
  );

  it('says in a line that its port is taken', async () => {
    const { listening } = await run({ TWILIO_AUTH_TOKEN: 'token' });
    const { port } = new URL(await listening);
    const second = await run({ TWILIO_AUTH_TOKEN: 'token', PORT: port });
    expect(await stderr(second.child)).toMatch(
      /^The server can't listen on 127.0.0.1:\d+: .*EADDRINUSE.*\n$/,
    );
    expect(await second.exited).toBe(1);
  });

  it('logs how the last call ended, though that was what it waited for', async () => {
    const openai = await listen();
    const { child, listening, exited, lines } = await run({
      ALLOW_UNSIGNED_REQUESTS: 'true',
      OPENAI_REALTIME_URL: openai.url,
    });
    const { twilio } = await readyCall(openai, await listening);
    child.kill('SIGTERM');
    twilio.stop();
    expect(await exited).toBe(0);
    expect(lines).toContainEqual(expect.objectContaining({ msg: 'call ended', reason: 'twilio stopped' }));
  });

  it('apologizes for a call that fails in the grace', async () => {
    const openai = await listen();
    const { child, listening, exited } = await run({
      ALLOW_UNSIGNED_REQUESTS: 'true',
      OPENAI_REALTIME_URL: openai.url,
    });
    const origin = await listening;
    const { twilio, session } = await readyCall(openai, origin);
    child.kill('SIGTERM');
    await expect.poll(async () => (await fetch(origin)).status).toBe(503);
    session.socket.close(1011);
    await twilio.closed;
    expect(await (await fetch(`${origin}/call-ended?CallSid=${CALL}`)).text()).toContain('<Say>I am sorry');
    expect(await exited).toBe(0);
  });

  it('lets live calls go on, takes no more, and exits with 0 when the last has ended', async () => {
    const openai = await listen();
    const { child, listening, exited } = await run({
      ALLOW_UNSIGNED_REQUESTS: 'true',
      OPENAI_REALTIME_URL: openai.url,
    });
    const origin = await listening;
    const { twilio, session } = await readyCall(openai, origin);
    child.kill('SIGTERM');
    await expect.poll(async () => (await fetch(origin)).status).toBe(503);
    expect(await (await fetch(`${origin}/incoming-call`)).text()).toContain('<Reject reason="busy"/>');
    twilio.media(0, audio(20));
    await session.next('input_audio_buffer.append');
    twilio.stop();
    expect(await exited).toBe(0);
  });

  it('closes live calls with 1001 after the grace, and still has the last word for their callers', async () => {
    const openai = await listen();
    const { child, listening, exited, lines } = await run({
      ALLOW_UNSIGNED_REQUESTS: 'true',
      OPENAI_REALTIME_URL: openai.url,
      SHUTDOWN_GRACE_SECONDS: '1',
    });
    const origin = await listening;
    const { twilio } = await readyCall(openai, origin);
    child.kill('SIGTERM');
    expect((await twilio.closed).code).toBe(1001);
    expect(await (await fetch(`${origin}/call-ended?CallSid=${CALL}`)).text()).toContain('<Say>I am sorry');
    expect(await exited).toBe(0);
    expect(lines).toContainEqual(
      expect.objectContaining({ msg: 'call ended', reason: 'shutdown', streamSid: STREAM }),
    );
  });

  it('exits at once on a second signal', async () => {
    const openai = await listen();
    const { child, listening, exited } = await run({
      ALLOW_UNSIGNED_REQUESTS: 'true',
      OPENAI_REALTIME_URL: openai.url,
    });
    const origin = await listening;
    await readyCall(openai, origin);
    child.kill('SIGINT');
    await expect.poll(async () => (await fetch(origin)).status).toBe(503);
    child.kill('SIGINT');
    expect(await exited).toBe(1);
  });
});
