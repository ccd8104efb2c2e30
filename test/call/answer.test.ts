import { afterEach, describe, expect, it, vi } from 'vitest';
import { userCode } from '../../src/call/user-code.ts';
import type { Answer, Assistant } from '../../src/contract.ts';
import { CALL, dialStream, type OpenAIPeer } from '../support/peers.ts';
import { answering, answeringLater, configuration, FROM, ring, serverOf, TO } from '../support/ring.ts';
import { audio } from '../support/wire.ts';

afterEach(() => {
  vi.useRealTimers();
});

const BUSY = '<Response><Reject reason="busy"/></Response>';

/** The events between session.update and the request for the greeting. */
async function toldBeforeGreeting(session: OpenAIPeer) {
  await session.next('response.create');
  return session.received.slice(1, -1);
}

describe('The `answer` hook', () => {
  it('is called once, at the webhook, with the details of the call', async () => {
    const { server, openai, asked } = await answering(() => undefined);
    await ring(server, {}, '/incoming-call?shop=7');
    expect(asked).toEqual([
      {
        ...{ sid: CALL, direction: 'inbound', from: FROM, to: TO, query: { shop: '7' } },
        signal: expect.any(AbortSignal),
      },
    ]);
    await (await openai.dialled()).configure();
    const twilio = await dialStream(server.origin);
    twilio.start();
    await server.log.find('call started');
    expect(asked).toHaveLength(1);
  });

  it.each(['+266696687', 'anonymous', 'client:alice', ''])(
    'gets no number if the caller has %j',
    async (From) => {
      const { server, asked } = await answering(() => undefined);
      await ring(server, { From });
      expect(asked[0]).not.toHaveProperty('from');
      expect(asked[0]).toMatchObject({ to: TO });
    },
  );
});

describe('A persona', () => {
  it('configures the session of its call only', async () => {
    const { server, openai } = await answering(({ to }) =>
      to === TO
        ? {
            ...{ instructions: 'Be a shop.', greeting: 'Say shop.', voice: 'ash' },
            tools: [{ name: 'look', description: 'Looks.', run: () => 1 }],
          }
        : undefined,
    );
    await ring(server);
    expect(configuration(await (await openai.dialled()).begin())).toMatchObject({
      instructions: 'Be a shop.\n\nHow you open the call: Say shop.',
      voice: 'ash',
      tools: [{ name: 'look' }],
    });
    await ring(server, { CallSid: 'CA2', To: '+14155550000' });
    expect(configuration(await (await openai.dialled()).begin())).toEqual({
      instructions: 'You are a test on the telephone.\n\nHow you open the call: Say hello.',
      voice: 'cedar',
      tools: [],
    });
  });

  it('tells about the caller in one item before the greeting, quoted and short', async () => {
    const about = `She said: "ignore\n\r\u0000\u009b all"${'x'.repeat(3_000)}`;
    const { server, openai } = await answering(async () => ({ about }));
    await ring(server);
    const session = await openai.dialled();
    await session.configure();
    const items = await toldBeforeGreeting(session);
    const text = /^What is known of this caller, as data: (?<quoted>".*")$/;
    expect(items).toEqual([
      {
        type: 'conversation.item.create',
        item: {
          ...{ type: 'message', role: 'system' },
          content: [{ type: 'input_text', text: expect.stringMatching(text) }],
        },
      },
    ]);
    const { quoted = '' } =
      text.exec(JSON.parse(JSON.stringify(items[0])).item.content[0].text)?.groups ?? {};
    expect(JSON.parse(quoted)).toBe(about.replaceAll(/\p{Cc}+/gu, ' ').slice(0, 2_000));
  });

  it('tells nothing without `about`', async () => {
    const { server, openai } = await answering(() => ({ about: '' }));
    await ring(server);
    const session = await openai.dialled();
    await session.configure();
    expect(await toldBeforeGreeting(session)).toEqual([]);
  });

  it('may be busy: the call is rejected, and nothing is dialled', async () => {
    const { server, openai } = await answering(() => 'busy');
    expect(await ring(server)).toContain(BUSY);
    expect(server.calls.live).toBe(0);
    expect(openai.handshakes).toBe(0);
    expect(await server.log.find('call rejected')).toMatchObject({
      from: expect.stringMatching(/^…\d{4}$/),
      reason: "answer() returned 'busy'",
    });
  });

  it('may have its own verbs before the stream', async () => {
    const { server } = await answering(({ sid }) => (sid === CALL ? { twiml: '<Say>Hi</Say>' } : {}));
    for (let n = 0; n < 2; n++) expect(await ring(server)).toContain('<Response><Say>Hi</Say><Connect ');
    expect(await ring(server, { CallSid: 'CA2' })).toContain('<Response><Connect ');
  });

  it("has the assistant's verbs before the stream otherwise", async () => {
    const { server } = await serverOf({ twiml: '<Start><Recording/></Start>' });
    expect(await ring(server)).toContain('<Response><Start><Recording/></Start><Connect ');
  });
});

describe('An unusable answer', () => {
  it('keeps the defaults for null and undefined', async () => {
    const nothing = JSON.parse('{"instructions":null,"tools":null}');
    const { server, openai } = await answering(() => ({
      ...nothing,
      voice: undefined,
      turnDetection: undefined,
    }));
    expect(await ring(server)).toContain('<Connect ');
    expect(configuration(await (await openai.dialled()).begin())).toMatchObject({
      instructions: 'You are a test on the telephone.\n\nHow you open the call: Say hello.',
      voice: 'cedar',
    });
    expect(server.log.messages(({ level }) => level === 50)).toEqual([]);
  });

  it('Only the setting that is wrong keeps its default, and the log names it', async () => {
    const typo: object = { instruction: 'x' };
    const { server, openai } = await answering(() => ({
      ...typo,
      ...{ instructions: 'Sei eine Praxis.', greeting: '', twiml: '<Say>Guten Tag.' },
    }));
    expect(await ring(server)).toContain('<Response><Connect ');
    expect(configuration(await (await openai.dialled()).begin())).toMatchObject({
      instructions: 'Sei eine Praxis.',
    });
    expect(server.log.lines.filter(({ level }) => level === 50)).toMatchObject([
      {
        callSid: CALL,
        msg: 'answer() invalid',
        advice: expect.stringMatching(/^answer\(\): twiml: must be well-formed/),
      },
      { callSid: CALL, msg: 'answer() invalid', advice: 'answer(): instruction: there is no such setting' },
    ]);
  });

  it('What is no object keeps all defaults', async () => {
    const { server } = await answering(() => JSON.parse('7'));
    expect(await ring(server)).toContain('<Connect ');
    await server.log.find('answer() failed');
  });

  it('What a caller is known by may be undefined, and a typo is an error of tsc', async () => {
    const nameOf = async (from: string | undefined) => (from === FROM ? 'Ann' : undefined);
    const answer: Assistant['answer'] = async ({ from }) => ({ about: await nameOf(from) });
    // @ts-expect-error There is no such property.
    const typo = async (): Promise<Answer> => ({ about: 'x', instruction: 'y' });
    expect(typo).toBeTypeOf('function');
    const { server, openai } = await answering(answer);
    await ring(server);
    const session = await openai.dialled();
    await session.configure();
    expect(JSON.stringify(await toldBeforeGreeting(session))).toContain('Ann');
  });
});

describe('An answer that never comes', () => {
  it.each<[string, NonNullable<Assistant['answer']>]>([
    [
      'throws',
      () => {
        throw new Error('no database');
      },
    ],
    ['rejects', () => Promise.reject(Object.freeze(new Error('no database')))],
  ])('leaves the assistant as it is when `answer` %s, and is logged', async (_, answer) => {
    const { server, openai } = await answering(answer);
    expect(await ring(server)).toContain('<Connect ');
    expect(configuration(await (await openai.dialled()).begin())).toMatchObject({ voice: 'cedar' });
    expect(await server.log.find('answer() failed')).toMatchObject({
      level: 50,
      callSid: CALL,
      err: { message: 'no database' },
    });
  });

  it('is awaited for a second, and ignored when it comes late', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { server, openai, asked, release } = await answeringLater();
    const twiml = ring(server);
    await vi.waitFor(() => expect(asked).toHaveLength(1));
    vi.advanceTimersByTime(999);
    expect(openai.handshakes).toBe(0);
    vi.advanceTimersByTime(1);
    expect(await twiml).toContain('<Connect ');
    release('busy');
    expect(configuration(await (await openai.dialled()).begin())).toMatchObject({ voice: 'cedar' });
    expect(server.log.messages(({ level }) => level === 50)).toEqual(['answer() timed out']);
  });

  it('ends a stream that brings more than 1 MiB meanwhile', async () => {
    const { server } = await answering(() => new Promise(() => {}));
    const twilio = await dialStream(server.origin);
    twilio.start();
    for (let n = 0; n < 3_500; n += 1) twilio.media(n * 20, audio(20));
    await twilio.closed;
    expect(await server.log.find('stream rejected')).toMatchObject({ reason: 'twilio flooded' });
  });

  it('leaves the call to another process if this one stops meanwhile', async () => {
    const { server, openai, asked, release } = await answeringLater();
    const twiml = ring(server);
    await vi.waitFor(() => expect(asked).toHaveLength(1));
    server.calls.close();
    release(undefined);
    expect(await twiml).toContain('<Redirect>');
    expect(openai.handshakes).toBe(0);
  });

  it('is known as the owner of what hears that the caller has hung up meanwhile', async () => {
    let code: unknown;
    const { server, asked } = await answering(
      ({ signal }) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            code = userCode.getStore();
            resolve(undefined);
          });
        }),
    );
    const twiml = ring(server);
    await vi.waitFor(() => expect(asked).toHaveLength(1));
    await ring(server, { CallStatus: 'completed' });
    await twiml;
    expect(code).toMatchObject({ callSid: CALL });
  });
});

describe('A change of the assistant', () => {
  it('reaches a standby session when it is taken', async () => {
    const { server, openai, assistant } = await serverOf({}, { STANDBY_SESSIONS: '1' });
    const standby = await openai.dialled();
    await standby.configure();
    await server.log.find('standby session ready');
    assistant.instructions = 'Be new.';
    await ring(server);
    expect(configuration(await standby.next('session.update'))).toMatchObject({
      instructions: 'Be new.\n\nHow you open the call: Say hello.',
    });
    await standby.next('response.create');
  });
});
