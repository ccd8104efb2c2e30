import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Call } from '../../src/call/call.ts';
import type { Calls } from '../../src/call/calls.ts';
import type { Assistant } from '../../src/contract.ts';
import { buildApp } from '../../src/http/app.ts';
import { issueToken } from '../../src/wire/auth.ts';
import type { MediaFormat, Start } from '../../src/wire/twilio.ts';
import { assistant } from '../simulator/assistant.ts';
import { liveCall } from '../support/call.ts';
import { AUTH_TOKEN, GUARDED, testConfig } from '../support/config.ts';
import { CALL, FakeOpenAI } from '../support/peers.ts';
import { STREAM } from '../support/wire.ts';

const MULAW = { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 };
const DETAILS = { direction: 'inbound', query: {} } as const;

let calls: Calls;
let openai: FakeOpenAI;

beforeEach(async () => {
  openai = await FakeOpenAI.listen(() => 'hang');
});

afterEach(() => openai.close());

/** Calls of a server that only Twilio may use; no session of theirs is ever ready. */
async function start(env: Record<string, string> = GUARDED, changes: Partial<Assistant> = {}): Promise<void> {
  const config = testConfig({ OPENAI_REALTIME_URL: openai.url, ...env });
  const { app, ...relay } = await buildApp(config, { ...assistant, ...changes });
  onTestFinished(() => app.close());
  calls = relay.calls;
}

function ring(callSid = 'CA1') {
  return calls.ring(callSid, DETAILS, log());
}

const log = () => new Log();

/** A log that nobody reads. */
class Log {
  level = 'silent';
  child = () => this;
  info = () => {};
  warn = () => {};
  error = () => {};
  debug = () => {};
  fatal = () => {};
  trace = () => {};
  silent = () => {};
}

/** What comes of a stream of the call that brings this token. */
function claim(
  token: string | undefined,
  callSid = 'CA1',
  mediaFormat: MediaFormat = MULAW,
  abort = new AbortController(),
) {
  const customParameters: Record<string, string> = token === undefined ? {} : { token };
  const message: Start = {
    event: 'start',
    streamSid: STREAM,
    start: { callSid, mediaFormat, customParameters },
  };
  return calls.claim(message, abort, log());
}

const issued = (callSid = 'CA1', at = Date.now(), authToken = AUTH_TOKEN) =>
  issueToken(authToken, callSid, at);

describe('Tokens', () => {
  it('admit the stream of the call that they were issued for', async () => {
    await start();
    expect(await claim(issued('CA1', Date.now() - 50_000))).toBeInstanceOf(Call);
  });

  it('are not needed if requests need no signature', async () => {
    await start({});
    expect(await claim(undefined)).toBeInstanceOf(Call);
  });

  it.each([
    ['no token', undefined],
    ['nonsense', 'nonsense'],
    ["another call's token", issued('CA-other')],
    ['an expired token', issued('CA1', Date.now() - 60_000)],
    ['a token of another key', issued('CA1', Date.now(), 'guess')],
    ['a token with a later expiry', issued().replace(/^\d+/, String(Date.now() + 3_600_000))],
  ])('reject a stream that brings %s', async (_, token) => {
    await start();
    expect(claim(token)).toBe('bad token');
  });

  it('admit one stream each', async () => {
    await start();
    const token = issued();
    const call = await claim(token);
    if (call instanceof Call) call.end('twilio closed');
    expect(claim(token)).toBe('token already used');
    expect(await claim(issued('CA1', Date.now() + 1))).toBeInstanceOf(Call);
  });

  it('are remembered for the last 10,000 calls', async () => {
    await start();
    const token = issued('CA0');
    await claim(token, 'CA0', MULAW, aborted());
    for (let n = 1; n < 10_000; n++) calls.issueToken(`CA${n}`, '');
    expect(claim(token, 'CA0')).toBe('token already used');
    calls.issueToken('CA-one-more', '');
    expect(claim(token, 'CA0')).not.toBe('token already used');
  });
});

/** The signal of a stream that is gone. */
function aborted(): AbortController {
  const abort = new AbortController();
  abort.abort();
  return abort;
}

describe('Streams', () => {
  it.each([
    { ...MULAW, encoding: 'audio/x-alaw' },
    { ...MULAW, sampleRate: 16_000 },
    { ...MULAW, channels: 2 },
    { encoding: undefined, sampleRate: undefined, channels: undefined },
  ])('are rejected with audio in %j', async (mediaFormat) => {
    await start();
    expect(claim(issued(), 'CA1', mediaFormat)).toBe('not mu-law 8000 mono');
  });

  it('claim their ringing call, even if all places are taken', async () => {
    await start({ ...GUARDED, MAX_CONCURRENT_CALLS: '1' });
    const call = await ring();
    expect(claim(issued())).toBe(call);
  });

  it('are rejected if all places are taken', async () => {
    await start({ ...GUARDED, MAX_CONCURRENT_CALLS: '1' });
    await ring();
    expect(claim(issued('CA2'), 'CA2')).toBe('busy');
  });

  it('are five for a call, those of its webhooks among them', async () => {
    await start();
    const now = Date.now();
    for (let n = 1; n <= 5; n++) {
      const call = n === 1 ? await ring() : await claim(issued('CA1', now + n));
      if (call instanceof Call) call.end('twilio closed');
    }
    expect(claim(issued('CA1', now))).toBe('too many streams');
    expect(await ring()).toBe('too many streams');
  });

  it('of calls that were answered are admitted while the process stops', async () => {
    await start();
    calls.close();
    expect(await ring()).toBe('shutdown');
    expect(await claim(issued())).toBeInstanceOf(Call);
    calls.end('with a word');
    expect(claim(issued('CA2'), 'CA2')).toBe('shutdown');
  });

  it('do not begin a call once all have ended', async () => {
    await start(GUARDED, { answer: async () => undefined });
    const claimed = claim(issued());
    await calls.end('at once');
    expect(await claimed).toBe('shutdown');
  });
});

describe("A call's signal", () => {
  it('is aborted if its stream is rejected after `answer`', async () => {
    const signals: AbortSignal[] = [];
    await start(GUARDED, { answer: ({ signal }) => void signals.push(signal) });
    const streams = [claim(issued()), claim(issued('CA1', Date.now() + 1))];
    const [first, second] = await Promise.all(streams);
    expect([first instanceof Call, second]).toEqual([true, 'call already live']);
    expect(signals.map(({ aborted }) => aborted)).toEqual([false, true]);
  });

  it('is aborted if a stream began the call while its webhook asked `answer`', async () => {
    const signals: AbortSignal[] = [];
    await start(GUARDED, { answer: ({ signal }) => void signals.push(signal) });
    const [first, second] = await Promise.all([claim(issued()), ring()]);
    expect([first instanceof Call, second]).toEqual([true, 'call already live']);
    expect(signals.map(({ aborted }) => aborted)).toEqual([false, true]);
  });

  it('is aborted if `answer` turns the call away', async () => {
    const signals: AbortSignal[] = [];
    await start(GUARDED, {
      answer({ signal }) {
        signals.push(signal);
        return 'busy';
      },
    });
    expect([await ring(), await claim(issued())]).toEqual(['busy', 'busy']);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
  });
});

describe('A token of this process', () => {
  it('stays good if the wall clock jumps while the call rings', async () => {
    await start();
    await ring();
    const token = calls.issueToken('CA1', '');
    vi.useFakeTimers({ toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
    vi.setSystemTime(Date.now() + 120_000);
    expect(claim(token)).toBeInstanceOf(Call);
  });
});

describe('Ringing calls', () => {
  const FROM = '+14155550123';
  const ringFrom = (n: number, from?: string) =>
    calls.ring(`CA${n}`, { ...DETAILS, ...(from && { from }) }, log());

  it('are three of a number, and 20 without one', async () => {
    await start();
    for (let n = 0; n < 3; n++) expect(await ringFrom(n, FROM)).toBeInstanceOf(Call);
    expect(await ringFrom(3, FROM)).toBe('too many ringing');
    for (let n = 10; n < 30; n++) expect(await ringFrom(n)).toBeInstanceOf(Call);
    expect(await ringFrom(30)).toBe('too many ringing');
    expect(await ringFrom(4, '+14155550124')).toBeInstanceOf(Call);
  });

  it('are three of a number while `answer` is pending, too', async () => {
    await start(GUARDED, { answer: async () => undefined });
    const rung = await Promise.all([0, 1, 2, 3].map((n) => ringFrom(n, FROM)));
    expect(rung.map((call) => typeof call)).toEqual(['object', 'object', 'object', 'string']);
  });

  it('that this server places are three to a number', async () => {
    await start();
    const place = (n: number, to: string) =>
      calls.ring(`CA${n}`, { direction: 'outbound', from: FROM, to, query: {} }, log());
    for (let n = 0; n < 5; n++) expect(await place(n, `+1415555020${n}`)).toBeInstanceOf(Call);
    for (let n = 5; n < 7; n++) expect(await place(n, '+14155550200')).toBeInstanceOf(Call);
    expect(await place(7, '+14155550200')).toBe('too many ringing');
  });

  it('that are hung up while `answer` is pending do not begin', async () => {
    const signals: AbortSignal[] = [];
    await start(GUARDED, { answer: async ({ signal }) => void signals.push(signal) });
    const rung = ring();
    calls.hungUp('CA1');
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
    expect(await rung).toBe('not claimed');
    expect(calls.live).toBe(0);
  });

  it('end when Twilio says that the caller has hung up, and keep their settings', async () => {
    const NOTICE = '<Say>This call is recorded.</Say>';
    await start(GUARDED, { answer: () => ({ twiml: NOTICE }) });
    await ringFrom(0, FROM);
    calls.hungUp('CA0');
    expect(calls.live).toBe(0);
    expect(await ringFrom(0, FROM)).toEqual({ persona: expect.objectContaining({ twiml: NOTICE }) });
    expect(calls.live).toBe(0);
  });
});

describe('A stream that Twilio has lost, and this server has not', () => {
  it('ends with its call when Twilio asks how to go on, which is to apologise', async () => {
    const { server } = await liveCall();
    expect(await server.lastWords(CALL)).toContain(assistant.apology);
    expect(server.calls.live).toBe(0);
  });

  it('ends as usual if the caller has hung up', async () => {
    const { server } = await liveCall();
    await fetch(`${server.origin}/call-ended?CallSid=${CALL}&CallStatus=completed`);
    expect(await server.log.find('call ended')).toMatchObject({ reason: 'twilio stopped' });
  });
});

describe('A stream that is lost before its start', () => {
  it('has Twilio apologise, and frees the place of its call', async () => {
    await start();
    await ring();
    expect(calls.next('CA1')).toEqual({ say: assistant.apology, as: assistant.say });
    expect(calls.live).toBe(0);
  });
});
