import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { networkInterfaces } from 'node:os';
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { isObject, type JsonObject, parseObject } from '../../src/wire/json.ts';
import { portOf } from '../support/port.ts';
import { startDesk } from './desk.ts';
import { startParrotServer } from './parrot-server.ts';
import type { WebhookOptions } from './webhook.ts';

async function desk(server: WebhookOptions = { url: 'http://127.0.0.1:1' }) {
  const narrated: string[] = [];
  const started = await startDesk({
    port: 0,
    isParrot: false,
    server,
    narrate: (line) => narrated.push(line),
  });
  onTestFinished(() => started.close());
  return { ...started, narrated };
}

/** The status and the headers of a GET with these headers. */
async function get(url: string, headers: Record<string, string> = {}) {
  const sent = request(url, { headers }).end();
  const [response] = await once(sent, 'response');
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

/** What a page at `origin` gets when it lifts the handset. */
function lift(url: string, origin = url) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/call`, { headers: { origin } });
  const messages: JsonObject[] = [];
  const moments: Int16Array[] = [];
  socket.on('message', (data, isBinary) => {
    if (isBinary && data instanceof Buffer) moments.push(new Int16Array(Uint8Array.from(data).buffer));
    else messages.push(parseObject(String(data)) ?? {});
  });
  onTestFinished(() => socket.terminate());
  // An upgrade that is refused is an error, too.
  const closed = new Promise((resolve) => socket.on('close', resolve));
  return { socket, messages, moments, closed };
}

const kinds = (messages: JsonObject[]) => messages.map(({ type, kind }) => kind ?? type);

describe('the page', () => {
  it('is served whole, under a policy that admits nothing else', async () => {
    const { url } = await desk();
    const index = await get(url);
    const paths = [...index.body.matchAll(/(?:src|href)="(?<path>[^"]+)"/g)].map(([, path = '']) => path);
    expect(paths.length).toBeGreaterThan(3);
    for (const path of ['/', '/worklet.js', ...paths]) {
      const { status, headers, body } = await get(url + path);
      expect([path, status]).toEqual([path, 200]);
      expect(headers['content-security-policy']).toMatch(/^default-src 'self';/);
      expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
      expect(headers['cross-origin-resource-policy']).toBe('same-origin');
      for (const [, module = ''] of body.matchAll(/^import .* from '\.(?<path>\/[^']+)'/gm))
        paths.push(module);
    }
  });

  it.each(['/../desk.ts', '/desk.ts', '/package.json', '/calls/CA1.wav'])(
    'does not serve %s',
    async (path) => {
      const { url } = await desk();
      expect(await get(url + path)).toMatchObject({ status: 404, body: '' });
    },
  );

  it.each<[string, Record<string, string>]>([
    ['by another name', { host: 'evil.example' }],
    ['by another name with its port', { host: 'evil.example:3001' }],
    ['by a name that begins as its own', { host: '127.0.0.1.evil.example' }],
    ['by a name behind its own', { host: 'localhost@evil.example' }],
    ['from another origin', { origin: 'http://evil.example' }],
    ['from another port of this machine', { origin: 'http://127.0.0.1:1' }],
    ['from an opaque origin', { origin: 'null' }],
    ['from another site', { 'sec-fetch-site': 'cross-site' }],
  ])('refuses a request %s', async (_, headers) => {
    const { url } = await desk();
    for (const path of ['/', '/line', '/calls/CA1.wav']) {
      expect(await get(url + path, headers)).toMatchObject({ status: 403, body: '' });
    }
  });

  it.each(['127.0.0.1', 'localhost', '[::1]'])('serves a request for %s', async (name) => {
    const { url } = await desk();
    const headers = { host: `${name}:3001`, origin: `http://${name}:3001`, 'sec-fetch-site': 'same-origin' };
    expect(await get(url, headers)).toMatchObject({ status: 200 });
  });

  const addresses = Object.values(networkInterfaces()).flatMap((all = []) => all);
  const external = addresses.filter(({ internal, scopeid }) => !internal && !scopeid);

  it.skipIf(!addresses.some(({ address }) => address === '::1'))('listens on ::1', async () => {
    const { url } = await desk();
    expect(await get(url.replace('127.0.0.1', '[::1]'))).toMatchObject({ status: 200 });
  });

  it.skipIf(external.length === 0)('listens on no address that others reach', async () => {
    const { url } = await desk();
    for (const { address, family } of external) {
      const host = family === 'IPv6' ? `[${address}]` : address;
      await expect(get(url.replace('127.0.0.1', host))).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    }
  });

  it('No other origin can call, nor one that does not say which it is', async () => {
    const { url, narrated } = await desk();
    for (const origin of ['http://evil.example', 'null', '', `${url}.evil.example`]) {
      const { socket } = lift(url, origin);
      const [error] = await once(socket, 'error');
      expect(error.message).toBe('Unexpected server response: 403');
    }
    expect(narrated).toEqual([]);
  });
});

describe('Handset', () => {
  it('carries a whole call, and keeps its recording', async () => {
    const server = await startParrotServer(() => {}, 'silent');
    onTestFinished(() => server.close());
    const { url } = await desk(server);
    const { socket, messages, moments, closed } = lift(url);
    await once(socket, 'open');
    const second = lift(url);
    await second.closed;
    expect(second.messages).toEqual([{ type: 'over', trouble: expect.stringContaining('another window') }]);

    const loud = Int16Array.from({ length: 160 }, (_, i) => 8_000 * Math.sin(i * i));
    while (!kinds(messages).includes('first-sound')) await once(socket, 'message');
    while (!kinds(messages).includes('speech-started')) {
      socket.send(loud);
      await once(socket, 'message');
    }
    socket.send(Buffer.from('odd'));
    socket.send(JSON.stringify({ type: 'press', digits: '1x' }));
    socket.send(JSON.stringify({ type: 'press', digits: '*' }));
    while (!kinds(messages).includes('pressed')) await once(socket, 'message');
    socket.send(JSON.stringify({ type: 'hang-up' }));
    await closed;

    expect(kinds(messages).slice(0, 3)).toEqual(['answered', 'stream-started', 'first-sound']);
    expect(messages.find(({ kind }) => kind === 'pressed')).toMatchObject({
      who: 'caller',
      line: 'presses *',
    });
    expect(kinds(messages).slice(-2)).toEqual(['closed', 'over']);
    expect(new Set(moments.map(({ length }) => length))).toEqual(new Set([161]));
    expect(Math.max(...moments.map(([level = 0]) => level))).toBeGreaterThan(4_000);
    expect(moments.some((moment) => moment.subarray(1).some((sample) => Math.abs(sample) > 1_000))).toBe(
      true,
    );

    const { wav, trouble } = messages.at(-1) ?? {};
    expect(trouble).toBeUndefined();
    const whole = await get(`${url}${wav}`);
    expect(whole).toMatchObject({ status: 200, headers: { 'content-type': 'audio/wav' } });
    expect(Number(whole.headers['content-length'])).toBe(44 + moments.length * 160 * 4);
    const part = await get(`${url}${wav}`, { range: 'bytes=8-11' });
    expect(part).toMatchObject({ status: 206, body: 'WAVE' });
    expect(await server.liveCalls()).toBe(0);
  });

  it('hangs up when the page is closed', async () => {
    const server = await startParrotServer(() => {}, 'silent');
    onTestFinished(() => server.close());
    const { url, narrated } = await desk(server);
    for (const kind of ['answered', 'first-sound']) {
      const { socket, messages } = lift(url);
      while (!kinds(messages).includes(kind)) await once(socket, 'message');
      narrated.length = 0;
      socket.terminate();
      while (!narrated.includes('caller  hangs up')) await new Promise(setImmediate);
    }
    expect(await server.liveCalls()).toBe(0);
  });

  it('explains a signature that the server refuses', async () => {
    const server = await startParrotServer(() => {}, 'silent');
    onTestFinished(() => server.close());
    const { url } = await desk({ url: server.url, authToken: 'another' });
    const { messages, closed } = lift(url);
    await closed;
    const trouble = expect.stringMatching(/refused \(403\): TWILIO_AUTH_TOKEN or PUBLIC_URL/);
    expect(messages.at(-1)).toEqual({ type: 'over', trouble });
  });

  it('reports what went wrong, and what a voice would say', async () => {
    const server = createServer((_, response) => {
      response.setHeader('content-type', 'text/xml').end('<Response><Say>Come &amp; go</Say></Response>');
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => void server.close());
    const { url } = await desk({ url: `http://127.0.0.1:${portOf(server)}` });
    const { messages, closed } = lift(url);
    await closed;
    expect(messages[0]).toMatchObject({ kind: 'answered', say: 'Come & go' });
    const trouble = expect.stringContaining('“Come & go”');
    expect(messages.at(-1)).toEqual({ type: 'over', trouble });
    expect(messages.every((message) => isObject(message))).toBe(true);
  });
});

describe('npm run phone', { timeout: 20_000 }, () => {
  function run(...args: string[]) {
    const file = fileURLToPath(new URL('serve-phone.ts', import.meta.url));
    const child = spawn(process.execPath, ['--import', 'tsx', file, ...args], {
      // No .env is there.
      cwd: dirname(file),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    return { child, exited: once(child, 'exit'), stderr: text(child.stderr) };
  }

  it('prints in one line what to open, and ends on a signal', async () => {
    const { child, exited } = run('--parrot', '--port', '0');
    const [line] = await once(child.stdout, 'data');
    const { url = '' } = /^Open (?<url>http:\/\/127\.0\.0\.1:\d+), and talk/.exec(String(line))?.groups ?? {};
    expect(JSON.parse((await get(`${url}/line`)).body)).toMatchObject({ isParrot: true });
    child.kill('SIGINT');
    child.kill('SIGINT');
    expect(await exited).toEqual([0, null]);
  });

  it.each([
    [['--port', 'x'], /^--port takes a number/],
    [['--url', 'localhost:3000'], /^--url takes an address/],
    [['--parrot', '--url', 'http://a'], /^--parrot starts a server of its own/],
    [['--nothing'], /Usage: npm run phone/],
  ])('refuses %j in words', async (args, words) => {
    const { stderr, exited } = run(...args);
    expect(await stderr).toMatch(words);
    expect(await exited).toEqual([1, null]);
  });

  it('explains that a port is taken', async () => {
    const taken = createServer();
    await once(taken.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => void taken.close());
    const port = portOf(taken);
    const { stderr } = run('--port', String(port));
    expect(await stderr).toBe(`Another program has port ${port}. End it, or take another with --port.\n`);
  });
});
