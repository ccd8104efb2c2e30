import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { type CallInfo, hangUp, putThrough, type Tool } from '../src/contract.ts';
import { OUTPUTS } from '../src/conversation/tools.ts';
import { CALL, type OpenAIPeer, type TwilioPeer } from './support/peers.ts';
import { begin, callTo, callTool, FROM, finish, TO } from './support/ring.ts';
import { STREAM } from './support/wire.ts';

const tool = (run: Tool['run'], name = 'act'): Tool => ({ name, description: 'Acts.', run });

/** A call to an assistant with one tool. */
const callWith = (run: Tool['run'], form?: Record<string, string>) => callTo({ tools: [tool(run)] }, form);

/** The next tool output that the session receives. */
async function output(session: OpenAIPeer): Promise<unknown> {
  return (await session.next('conversation.item.create')).item;
}

const told = (text: unknown, call_id = 'call_r1') => ({
  type: 'function_call_output',
  call_id,
  output: text,
});

/** Echoes the next mark: the caller has heard the audio before it. */
async function hear(twilio: TwilioPeer): Promise<void> {
  const { mark } = await twilio.next('mark');
  twilio.send({ event: 'mark', streamSid: STREAM, mark });
}

/** The types of the events that the session received after the first `count`. */
async function sentSince(session: OpenAIPeer, count: number): Promise<unknown[]> {
  await session.settle();
  return session.received.slice(count).map(({ type }) => type);
}

describe('Tools', () => {
  it('get their arguments and the call, and their output goes up at once', async () => {
    const asked: unknown[] = [];
    const { session } = await callWith(async (args, { signal, ...call }) => {
      asked.push(args, call);
      return { hits: [1] };
    });
    begin(session, 'r1');
    callTool(session, 'act', ' {"city" : "Oslo"} ');
    expect(await output(session)).toEqual(told('{"hits":[1]}'));
    expect(asked).toEqual([
      { city: 'Oslo' },
      { sid: CALL, direction: 'inbound', from: FROM, to: TO, query: {} },
    ]);
    expect(await sentSince(session, session.received.length)).toEqual([]);
    finish(session, 'r1');
    await session.next('response.create');
  });

  it('are aborted when they take too long, others only when the call is over', async () => {
    const signals: AbortSignal[] = [];
    const run: Tool['run'] = (_, { signal }) => {
      signals.push(signal);
      return new Promise((_resolve, reject) => signal.addEventListener('abort', reject));
    };
    const tools = [{ ...tool(run, 'slow'), timeoutMs: 1 }, tool(run, 'steady')];
    const { server, twilio, session } = await callTo({ tools });
    begin(session, 'r1');
    callTool(session, 'slow');
    callTool(session, 'steady', '{}', 'r2');
    expect(await output(session)).toEqual(told(OUTPUTS.timedOut));
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    twilio.stop();
    await server.log.find('call ended');
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
    expect(server.log.lines.filter(({ msg }) => msg === 'tool failed')).toMatchObject([
      { tool: 'slow', why: OUTPUTS.timedOut },
    ]);
  });

  it("answer 'Done.' when they return nothing", async () => {
    const { session } = await callWith(() => undefined);
    begin(session, 'r1');
    callTool(session, 'act', '');
    expect(await output(session)).toEqual(told('Done.'));
  });

  it('have their output cut off at 30,000 characters, with a mark', async () => {
    const { server, session } = await callWith(() => 'x'.repeat(40_000));
    begin(session, 'r1');
    callTool(session, 'act');
    const mark = 'cut off: 30000 of 40002 characters';
    expect(await output(session)).toEqual(told(`"${'x'.repeat(29_999)}… (${mark})`));
    expect(await server.log.find('tool failed')).toMatchObject({ err: { message: `output ${mark}` } });
  });

  it.each<[string, Tool['run'], object]>([
    [
      'throws',
      ({ pin }) => {
        throw new Error(`secret of ${String(pin).length}`);
      },
      { message: 'secret of 8' },
    ],
    ['rejects', () => Promise.reject(new Error('secret')), { message: 'secret' }],
    ['returns what is no JSON', () => 1n, { type: 'TypeError' }],
  ])('only say that they failed when one %s, and the log says why', async (_, run, err) => {
    const { server, session } = await callWith(run);
    begin(session, 'r1');
    callTool(session, 'act', '{"pin":"47110815"}');
    expect(await output(session)).toEqual(told('The tool failed. Tell the caller that it did not work.'));
    expect(await server.log.find('tool failed')).toMatchObject({
      level: 50,
      tool: 'act',
      callSid: CALL,
      err,
    });
    expect(server.log.text).not.toContain('47110815');
    finish(session, 'r1');
    await session.next('response.create');
  });

  it('learn that the call is over, and what they return then is dropped', async () => {
    let call: CallInfo | undefined;
    const { server, twilio, session } = await callWith(async (_args, info) => {
      call = info;
      await once(info.signal, 'abort');
      return 'late';
    });
    begin(session, 'r1');
    callTool(session, 'act');
    await session.settle();
    expect(call?.signal.aborted).toBe(false);
    const sent = session.received.length;
    twilio.stop();
    await session.closed;
    await server.log.find('call ended');
    expect(call?.signal.aborted).toBe(true);
    expect(session.received.slice(sent)).toEqual([]);
  });
});

describe('The assistant', () => {
  const HUNG_UP = /<Response><Hangup\/><\/Response>/;

  it('hangs up once its goodbye was heard to the end', async () => {
    const { server, twilio, session } = await callWith(() => hangUp());
    begin(session, 'r1');
    session.say(200, 'r1');
    callTool(session, 'act');
    finish(session, 'r1');
    expect(await output(session)).toEqual(told('Done.'));
    await session.settle();
    expect(server.calls.live).toBe(1);
    await hear(twilio);
    expect((await twilio.closed).code).toBe(1000);
    expect((await session.closed).code).toBe(1000);
    expect(await server.log.find('call ended')).toMatchObject({ reason: 'assistant hung up', level: 30 });
    // A draining server waits for Twilio's request.
    expect(await server.calls.untilFinished(0)).toBe(false);
    expect(await server.lastWords(CALL)).toMatch(HUNG_UP);
    expect(await server.calls.untilFinished(1_000)).toBe(true);
  });

  it.each([
    ['a caller with a number', {}, {}, FROM],
    ['one without', { From: 'client:alice' }, {}, TO],
    ['a caller by another number', {}, { callerId: '+14155550111' }, '+14155550111'],
  ])('puts %s through once that was said', async (_, form, options, callerId) => {
    const { server, twilio, session } = await callWith(() => putThrough('+14155550100', options), form);
    begin(session, 'r1');
    session.say(200, 'r1');
    callTool(session, 'act');
    finish(session, 'r1');
    await hear(twilio);
    expect((await twilio.closed).code).toBe(1000);
    expect(await server.log.find('call ended')).toMatchObject({ reason: 'put through', level: 30 });
    const words = await server.lastWords(CALL);
    expect(words).toContain(
      `callerId="${callerId}" action="http://localhost:80/transfer-ended/${CALL}?nobodyAnswered=Nobody+is+there."`,
    );
    expect(words).toContain('<Number>+14155550100</Number>');
  });

  it.each([
    ['+14155550100', ['no caller ID']],
    ['sip:desk@pbx.example', []],
  ])('warns if Twilio will refuse to dial %s without a number', async (to, warnings) => {
    const { server, twilio, session } = await callWith(() => putThrough(to), {
      From: 'client:alice',
      To: '',
    });
    begin(session, 'r1');
    session.say(200, 'r1');
    callTool(session, 'act');
    finish(session, 'r1');
    await hear(twilio);
    await server.log.find('call ended');
    expect(server.log.messages(({ level }) => level === 40)).toEqual(warnings);
  });

  it('apologises in the language of the call, and has the log say how a transfer went', async () => {
    const say = { language: 'de-DE', voice: 'Polly.Vicki' };
    const { server, session, twilio } = await callTo({ answer: () => ({ apology: 'Leider nicht.', say }) });
    session.socket.close(3000, 'invalid_api_key');
    await twilio.closed;
    expect(await server.lastWords(CALL)).toContain(
      '<Say language="de-DE" voice="Polly.Vicki">Leider nicht.</Say>',
    );
    await server.app.inject(`/transfer-ended?CallSid=${CALL}&DialCallStatus=completed&DialCallDuration=61`);
    await server.app.inject(`/transfer-ended?CallSid=${CALL}&DialCallStatus=completed&DialCallDuration=61`);
    expect(server.log.messages(({ msg }) => msg === 'transfer ended')).toHaveLength(1);
    expect(await server.log.find('transfer ended')).toMatchObject({
      ...{ level: 30, callSid: CALL, status: 'completed', seconds: 61 },
    });
  });

  it('cannot put a caller through with a caller ID that is no number', () => {
    expect(() => putThrough('+14155550100', { callerId: 'me' })).toThrow('putThrough takes a callerId');
  });

  it.each([
    ...['nonsense', '', '911', '+1415 555 0100', 'sip:', 'sip:a b'],
    ...['tel:+14155550100', 'sip:a@b"/><Hangup/>'],
  ])('cannot put a caller through to %j', (to) => {
    expect(() => putThrough(to)).toThrow('putThrough takes a number');
  });
});
