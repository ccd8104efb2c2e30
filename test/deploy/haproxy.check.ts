import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type CallerEvent, placeCall } from '../simulator/caller.ts';
import { startParrot } from '../simulator/parrot.ts';
import { recording } from '../simulator/recording.ts';
import { runServer, type ServerProcess } from '../support/process.ts';
import { rollingRestarts } from '../support/rolling.ts';
import { HAPROXY, RunningProxy, versionOf } from './proxy.ts';
import { AUTH_TOKEN, ask, newCallSid } from './signed-call.ts';

const CALLERS = 20;
const LEAST_CALLS = 300;

describe.skipIf(versionOf(HAPROXY) === undefined)('HAProxy in front of three processes', () => {
  it('loses no call while each is restarted in turn', { timeout: 180_000 }, async () => {
    const { calls, lost, exitCodes } = await rollingRestarts(CALLERS, LEAST_CALLS, {}, async (ports) => {
      // All callers have one address here.
      const proxy = await RunningProxy.start(HAPROXY, ports, (text) => text.replace('gt 50', 'gt 500'));
      return { origin: proxy.origin, close: () => proxy.stop() };
    });
    console.log(`HAProxy, three processes restarted: ${calls} calls, ${lost.length} lost`, lost.slice(0, 5));
    expect(lost).toEqual([]);
    expect(calls).toBeGreaterThanOrEqual(LEAST_CALLS);
    expect(exitCodes).toEqual([0, 0, 0]);
  });

  it('asks the process that drains what to say when its call has failed', async () => {
    const { proxy, phone, events, process, loseOpenAI } = await call();
    process.child.kill('SIGTERM');
    await vi.waitFor(() => expect(proxy.output).toMatch(/relay\d is (stopping|DOWN)/), 5_000);
    await loseOpenAI();
    await phone.ended;
    expect(events.at(-1)).toMatchObject({ type: 'twiml', twiml: expect.stringContaining('<Say') });
  });

  it('asks another process how to go on when the one with the call is dead', async () => {
    const { phone, events, process } = await call();
    process.child.kill('SIGKILL');
    expect(await phone.ended).toMatchObject({ by: 'server', code: 1006 });
    expect(events.at(-1)).toMatchObject({ type: 'twiml', twiml: expect.stringContaining('<Hangup/>') });
    expect(phone.warnings).toEqual([]);
  });

  it('has a call wait for processes that are busy for a second', async () => {
    const { proxy, servers } = await start();
    for (const { child } of servers) child.kill('SIGSTOP');
    // Longer than a few health checks.
    await pause(1_000);
    const answer = ask(proxy.origin, newCallSid());
    for (const { child } of servers) child.kill('SIGCONT');
    expect(await answer).toMatchObject({ httpStatus: 200 });
  });
});

/** Three processes behind HAProxy. */
async function start() {
  const parrot = await startParrot({ greeting: recording('greeting') });
  const env = {
    OPENAI_REALTIME_URL: parrot.url,
    TWILIO_AUTH_TOKEN: AUTH_TOKEN,
    SHUTDOWN_GRACE_SECONDS: '20',
  };
  const servers = [runServer(env), runServer(env), runServer(env)];
  const ports = await Promise.all(
    servers.map(async ({ listening }) => Number(new URL(await listening).port)),
  );
  const proxy = await RunningProxy.start(HAPROXY, ports);
  onTestFinished(async () => {
    for (const { child } of servers) child.kill('SIGKILL');
    await proxy.stop();
  });
  return { parrot, proxy, servers };
}

/** A call through HAProxy, and which of three processes has it. */
async function call() {
  const { parrot, proxy, servers } = await start();
  const events: CallerEvent[] = [];
  const phone = await placeCall({
    url: proxy.origin,
    authToken: AUTH_TOKEN,
    onEvent: (event) => events.push(event),
  });
  await phone.untilPlaying();
  const process = await vi.waitFor(() => serverOf(servers, phone.callSid), 5_000);
  return { proxy, phone, events, process, loseOpenAI: () => parrot.close() };
}

function serverOf(servers: ServerProcess[], sid: string): ServerProcess {
  const server = servers.find(({ lines }) =>
    lines.some(({ callSid, msg }) => callSid === sid && msg === 'call started'),
  );
  if (server === undefined) throw new Error('No process has the call yet.');
  return server;
}
