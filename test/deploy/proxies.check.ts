import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { FakeOpenAI } from '../support/peers.ts';
import { runServer, type ServerProcess } from '../support/process.ts';
import { audio } from '../support/wire.ts';
import { addedDelay } from './delay.ts';
import { APACHE, CADDY, HAPROXY, NGINX, type ProxyKind, RunningProxy, versionOf } from './proxy.ts';
import { AUTH_TOKEN, answered, exchange, newCallSid, openStream, startCall } from './signed-call.ts';

/** For how long a stream is watched after a reload, in ms: some programs cut it only seconds later. */
const WATCHED_MS = 10_000;

/** What is waited for as long as needed; Apache 2.4, for one, answers again up to a second after a reload. */
const soon = <T>(check: () => T) => vi.waitFor(check, 10_000);

let openai: FakeOpenAI;
let server: ServerProcess;
let port: number;

beforeAll(async () => {
  openai = await FakeOpenAI.listen();
  server = runServer({ OPENAI_REALTIME_URL: openai.url, TWILIO_AUTH_TOKEN: AUTH_TOKEN });
  port = Number(new URL(await server.listening).port);
});

afterAll(async () => {
  server.child.kill('SIGKILL');
  await server.exited;
  await openai.close();
});

/** Lines without which the server refuses a request, and what its log says then. */
interface Need {
  header: string;
  lines: RegExp;
  advice: RegExp;
}

const PROTOCOL: Need = {
  header: 'X-Forwarded-Proto',
  lines: /.*X-Forwarded-Proto.*\n/,
  advice: /have the proxy send X-Forwarded-Proto/,
};
const UPGRADE = { header: 'Upgrade', advice: /have the proxy pass on Upgrade/ };

const BEHAVIOURS: { kind: ProxyKind; keepsStreams: boolean; limitsRequests: boolean; needs: Need[] }[] = [
  { kind: HAPROXY, keepsStreams: true, limitsRequests: true, needs: [PROTOCOL] },
  {
    kind: NGINX,
    keepsStreams: true,
    limitsRequests: true,
    needs: [
      PROTOCOL,
      { header: 'Host', lines: /.*Host \$http_host.*\n/, advice: /the proxy changes the host/ },
      { ...UPGRADE, lines: /.*Upgrade.*\n.*Connection.*\n/ },
    ],
  },
  { kind: CADDY, keepsStreams: false, limitsRequests: false, needs: [] },
  {
    kind: APACHE,
    keepsStreams: true,
    limitsRequests: false,
    needs: [PROTOCOL, { ...UPGRADE, lines: / upgrade=websocket/ }],
  },
];

describe.each(BEHAVIOURS)('$kind.name', ({ kind, keepsStreams, limitsRequests, needs }) => {
  const version = versionOf(kind);
  if (version === undefined) {
    it.skip('is not installed: left out', () => {});
    return;
  }
  console.log(`${kind.name} ${version}`);

  async function proxy(edit?: (text: string) => string): Promise<RunningProxy> {
    const started = await RunningProxy.start(kind, [port], edit);
    onTestFinished(() => started.stop());
    return started;
  }

  it('passes a signed webhook on', async () => {
    const { origin } = await proxy();
    const { connect } = await answered(origin, openai);
    expect(connect.url).toMatch(origin.replace('https', 'wss'));
  });

  it('carries audio both ways over a signed stream', async () => {
    const { origin } = await proxy();
    const { up, down } = await exchange(await startCall(origin, openai), 20);
    expect([up, down]).toEqual([audio(20), { payload: audio(20) }]);
  });

  it("passes the server's close code on", async () => {
    const { origin } = await proxy();
    const { connect } = await answered(origin, openai);
    const twilio = await openStream(origin, connect);
    twilio.start(newCallSid(), 'no token');
    expect(await twilio.closed).toMatchObject({ code: 1008 });
  });

  it("passes Twilio's close code on", async () => {
    const { origin } = await proxy();
    const { twilio, callSid } = await startCall(origin, openai);
    twilio.socket.close(4000, 'as said');
    const close = { code: 4000, reason: 'as said' };
    await soon(() => expect(ended(callSid)).toMatchObject({ twilio: close }));
  });

  it('adds less than 1 ms to the median frame', async () => {
    const { origin } = await proxy();
    const { added, p99, frames } = await addedDelay(`http://127.0.0.1:${port}`, origin, openai);
    console.log(`${kind.name}: ${added.toFixed(2)} ms added (median of ${frames} frames), p99 ${p99}`);
    expect(added).toBeLessThan(1);
  });

  it(`${keepsStreams ? 'keeps' : 'cuts'} a stream over a reload`, async () => {
    const front = await proxy();
    const call = await startCall(front.origin, openai);
    await exchange(call, 20);
    await front.reload();
    await soon(() => answered(front.origin, openai));
    if (keepsStreams) {
      for (let n = 2; n < WATCHED_MS / 20; n += 1) {
        await exchange(call, n * 20);
        await pause(20);
      }
    } else {
      expect(await call.twilio.closed).toMatchObject({ code: 1001 });
      await soon(() => expect(ended(call.callSid)).toMatchObject({ reason: 'twilio lost' }));
    }
  });

  it.runIf(kind === NGINX)('refuses a body of more than 64 KiB', async () => {
    const { origin } = await proxy();
    const body = new URLSearchParams({ Body: 'x'.repeat(65_536) });
    const { status } = await fetch(`${origin}/incoming-call`, { method: 'POST', body });
    expect(status).toBe(413);
  });

  it.runIf(limitsRequests)('refuses more than 50 requests a second from one address', async () => {
    const { origin } = await proxy();
    const all = await Promise.all(Array.from({ length: 150 }, () => fetch(origin)));
    expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200, 429]));
  });

  it.each(needs)('without $header, the log says what to do', async ({ lines, advice }) => {
    const { origin } = await proxy((text) => text.replace(lines, ''));
    const from = server.lines.length;
    const opened = answered(origin, openai).then(({ connect }) => openStream(origin, connect));
    await expect(opened).rejects.toThrow(/answered with 403|response: 426/);
    await soon(() => expect(JSON.stringify(server.lines.slice(from))).toMatch(advice));
  });
});

/** What the server has logged of a call's end. */
function ended(sid: string): Record<string, unknown> | undefined {
  return server.lines.find(({ callSid, msg }) => callSid === sid && msg === 'call ended');
}
