import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { type CallInfo, hangUp, putThrough, type Tool } from '../src/contract.ts';
import { CALL, type OpenAIPeer, type TwilioPeer } from './support/peers.ts';
import { begin, callTo, callTool, FROM, finish, TO } from './support/ring.ts';
import { STREAM } from './support/wire.ts';

const tool = (run: Tool['run'], name = 'act'): Tool => ({ name, description: 'Acts.', run });

/** A call whose assistant has one tool. */
const callWith = (run: Tool['run'], form?: Record<string, string>) => callTo({ tools: [tool(run)] }, form);

/** What the model is told next of the tool that it has called. */
async function output(session: OpenAIPeer): Promise<unknown> {
  return (await session.next('conversation.item.create')).item;
}

const told = (text: unknown, call_id = 'call_r1') => ({
  type: 'function_call_output',
  call_id,
  output: text,
});

/** Twilio has played what comes before the mark that it is sent next. */
async function hear(twilio: TwilioPeer): Promise<void> {
  const { mark } = await twilio.next('mark');
  twilio.send({ event: 'mark', streamSid: STREAM, mark });
}

/** The types of what a session was sent and nobody has asked for yet. */
async function sentSince(session: OpenAIPeer, count: number): Promise<unknown[]> {
  await session.settle();
  return session.received.slice(count).map(({ type }) => type);
}

describe('a tool that the model calls', () => {
  it('It runs with its arguments and the call, and the output goes up at once, the next response after this one', async () => {
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

  it('A tool that returns nothing is done', async () => {
    const { session } = await callWith(() => undefined);
    begin(session, 'r1');
    callTool(session, 'act', '');
    expect(await output(session)).toEqual(told('Done.'));
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
  ])(
    'The model is told no more than that it failed when it %s, and the log has its name, and no arguments',
    async (_, run, err) => {
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
    },
  );

  it.each([
    ['nothing', '{}', 'There is no such tool.'],
    ['act', '{"city":', 'The arguments are not a JSON object.'],
    ['act', '[1]', 'The arguments are not a JSON object.'],
  ])(
    'The model is told what is wrong when it calls %s with %j, and nothing runs',
    async (name, args, text) => {
      let runs = 0;
      const { session } = await callWith(() => {
        runs += 1;
      });
      begin(session, 'r1');
      callTool(session, name, args);
      expect(await output(session)).toEqual(told(text));
      expect(runs).toBe(0);
    },
  );

  it('It hears of the end of the call, and what it returns then is dropped', async () => {
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

describe('a call that the assistant ends', () => {
  const HUNG_UP = /<Response><Hangup\/><\/Response>/;

  it('A goodbye that came with the call is heard to its end before the line is closed', async () => {
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
    // Twilio is about to ask, and a server that stops waits for that.
    expect(server.calls.isAwaitingTwilio).toBe(true);
    expect(await server.lastWords(CALL)).toMatch(HUNG_UP);
    expect(server.calls.isAwaitingTwilio).toBe(false);
  });

  it('The model is asked for a goodbye that it has not said, which is heard to its end', async () => {
    const { server, twilio, session } = await callWith(() => hangUp());
    begin(session, 'r1');
    callTool(session, 'act');
    expect(await output(session)).toEqual(told('Say goodbye in one short sentence. The call ends then.'));
    finish(session, 'r1');
    await session.next('response.create');
    const item = { id: 'o', type: 'function_call_output', call_id: 'call_r1' };
    session.send({ type: 'conversation.item.added', previous_item_id: 'f', item });
    begin(session, 'r2');
    session.say(200, 'r2', 'b');
    finish(session, 'r2');
    await session.settle();
    expect(server.calls.live).toBe(1);
    await hear(twilio);
    expect((await twilio.closed).code).toBe(1000);
    expect(await server.lastWords(CALL)).toMatch(HUNG_UP);
  });

  it('A caller who cuts in on the goodbye keeps the call', async () => {
    const { server, twilio, session } = await callWith(() => hangUp());
    begin(session, 'r1');
    session.say(200, 'r1');
    callTool(session, 'act');
    finish(session, 'r1');
    await output(session);
    session.send({ type: 'input_audio_buffer.speech_started' });
    await twilio.next('clear');
    await session.settle();
    expect(server.calls.live).toBe(1);
  });

  it('A caller who is being put through still is where the server stops and the session is lost', async () => {
    const { server, twilio, session } = await callWith(() => putThrough('+14155550100'));
    begin(session, 'r1');
    session.say(4_000, 'r1');
    callTool(session, 'act');
    finish(session, 'r1');
    await output(session);
    server.streams.shutDown('with a word');
    session.socket.terminate();
    expect((await twilio.closed).code).toBe(1000);
    expect(await server.lastWords(CALL)).toContain('<Number>+14155550100</Number>');
  });

  it.each([
    ['+14155550100', {}, `callerId="${FROM}"`, '<Number>+14155550100</Number>'],
    ['sip:desk@pbx.example', {}, `callerId="${FROM}"`, '<Sip>sip:desk@pbx.example</Sip>'],
    ['+14155550100', { From: 'anonymous' }, `callerId="${TO}"`, '<Number>+14155550100</Number>'],
  ])('A caller is put through to %s, with %j, once it was said', async (to, form, callerId, noun) => {
    const { server, twilio, session } = await callWith(() => putThrough(to), form);
    begin(session, 'r1');
    session.say(200, 'r1');
    callTool(session, 'act');
    finish(session, 'r1');
    await hear(twilio);
    expect((await twilio.closed).code).toBe(1000);
    expect(await server.log.find('call ended')).toMatchObject({ reason: 'put through', level: 30 });
    expect(await server.lastWords(CALL)).toContain(
      `<Dial answerOnBridge="true" timeout="25" ${callerId} action="http://localhost:80/transfer-ended/${CALL}">${noun}</Dial>`,
    );
    const ended = async (status: string) =>
      (await server.app.inject(`/transfer-ended?CallSid=${CALL}&DialCallStatus=${status}`)).body;
    expect(await ended('completed')).toMatch(HUNG_UP);
    expect(await ended('no-answer')).toContain('<Response><Say>Nobody is there.</Say><Hangup/></Response>');
  });

  it.each([
    'nonsense',
    '',
    '911',
    '+1415 555 0100',
    'sip:',
    'sip:a b',
    'tel:+14155550100',
    'sip:a@b"/><Hangup/>',
  ])(
    'A caller is not put through to %j: the model is told that it failed, and the call goes on',
    async (to) => {
      const { server, session } = await callWith(() => putThrough(to));
      begin(session, 'r1');
      callTool(session, 'act');
      expect(await output(session)).toEqual(told('The tool failed. Tell the caller that it did not work.'));
      expect(await server.log.find('tool failed')).toMatchObject({
        err: { message: expect.stringContaining('putThrough takes a number') },
      });
      expect(server.calls.live).toBe(1);
    },
  );
});
