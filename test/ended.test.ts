import { afterEach, describe, expect, it, vi } from 'vitest';
import { type CallInfo, putThrough, type Report, type Tool } from '../src/contract.ts';
import { collectGarbage } from './support/memory.ts';
import { CALL } from './support/peers.ts';
import { begin, callTo, callTool, FROM, finish, ring, TO } from './support/ring.ts';
import { STREAM } from './support/wire.ts';

afterEach(() => {
  vi.useRealTimers();
});

/** A call that keeps its reports. */
async function reportedCall(transcription?: { model: string }) {
  const reports: Report[] = [];
  const ended = (report: Report) => void reports.push(report);
  return { ...(await callTo({ ended, ...(transcription && { transcription }) })), reports };
}

/** A call whose caller has hung up before the last words, in item `u`, are transcribed. */
async function endedBeforeWritten() {
  const call = await reportedCall({ model: 'gpt-transcribe' });
  call.session.send(added('u', 'user', null));
  await call.session.settle();
  call.twilio.stop();
  await call.twilio.closed;
  return call;
}

/** The event of an item that is added to the conversation. */
function added(id: string, role: 'user' | 'assistant', previous_item_id: string | null) {
  const content = role === 'user' ? [{ type: 'input_audio', transcript: null }] : [];
  return { type: 'conversation.item.added', previous_item_id, item: { id, type: 'message', role, content } };
}

const written = (item_id: string, transcript: string) => ({
  ...{ type: 'conversation.item.input_audio_transcription.completed', content_index: 0 },
  ...{ item_id, transcript, usage: { type: 'duration', seconds: 3 } },
});

const spoken = (item_id: string, response_id: string, transcript: string) => ({
  ...{ type: 'response.output_audio_transcript.done', output_index: 0, content_index: 0 },
  ...{ item_id, response_id, transcript },
});

describe('The report of a call', () => {
  it('has the reason, the time, the usage by kind and what was said in order', async () => {
    const { server, twilio, session, reports } = await reportedCall({ model: 'gpt-transcribe' });
    begin(session, 'r1');
    session.send(added('a', 'assistant', null), spoken('a', 'r1', 'Hello there.'));
    session.say(400, 'r1', 'a');
    finish(session, 'r1', {
      input_token_details: {
        ...{ text_tokens: 100, audio_tokens: 50 },
        cached_tokens_details: { text_tokens: 60, audio_tokens: 20 },
      },
      output_token_details: { text_tokens: 7, audio_tokens: 70 },
    });
    begin(session, 'r2');
    session.send(added('u', 'user', 'a'), added('b', 'assistant', 'u'), spoken('b', 'r2', 'At nine.'));
    session.say(400, 'r2', 'b');
    finish(session, 'r2', { output_token_details: { text_tokens: 1, audio_tokens: 2 } });
    session.send(written('u', 'When do you open?'));
    await session.settle();
    // All was heard.
    for (const name of ['audio-1', 'audio-2'])
      twilio.send({ event: 'mark', streamSid: STREAM, mark: { name } });
    twilio.stop();
    await vi.waitFor(() => expect(reports).toHaveLength(1));
    expect(reports[0]).toEqual({
      ...{ sid: CALL, direction: 'inbound', from: FROM, to: TO, query: {}, signal: expect.any(AbortSignal) },
      startedAt: expect.any(Date),
      ...{ reason: 'twilio stopped', outcome: 'completed', tools: [] },
      seconds: expect.any(Number),
      usage: {
        ...{ textIn: 40, cachedTextIn: 60, audioIn: 30, cachedAudioIn: 20, textOut: 8, audioOut: 72 },
        transcriptionTokensIn: 0,
        transcriptionTokensOut: 0,
        transcriptionSeconds: 3,
      },
      transcript: [
        { who: 'assistant', text: 'Hello there.', cut: false },
        { who: 'caller', text: 'When do you open?', cut: false },
        { who: 'assistant', text: 'At nine.', cut: false },
      ],
    });
    expect(reports[0]?.signal.aborted).toBe(true);
    expect(server.log.text).not.toMatch(/Hello there|When do you open/);
  });

  it('has so much of a reply as was heard when the caller hung up', async () => {
    const { twilio, session, reports } = await reportedCall();
    begin(session, 'r1');
    session.send(added('a', 'assistant', null), spoken('a', 'r1', 'one two three four five'));
    session.say(20_000, 'r1', 'a');
    finish(session, 'r1');
    await twilio.next('media');
    twilio.stop();
    await vi.waitFor(() => expect(reports).toHaveLength(1));
    expect(reports[0]?.transcript).toEqual([]);
  });

  it('has each tool that was called, and whom the caller was put through to', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const reports: Report[] = [];
    const fails = () => {
      throw new Error('no');
    };
    const runs: Record<string, Tool['run']> = {
      look: () => 1,
      fails,
      hangs: () => new Promise(() => {}),
      transfer: () => putThrough('+14155550100'),
    };
    const tools = Object.entries(runs).map(([name, run]) => ({ name, description: name, run }));
    const { session } = await callTo({ tools, ended: (report) => void reports.push(report) });
    begin(session, 'r1');
    for (const name of Object.keys(runs)) callTool(session, name, '{}', name);
    finish(session, 'r1');
    // The goodbye goes with the session.
    await session.next('conversation.item.create');
    await session.settle();
    vi.advanceTimersByTime(1_000);
    session.socket.close(3000, 'invalid_api_key');
    await vi.waitFor(() => expect(reports).toHaveLength(1));
    expect(reports).toMatchObject([
      {
        ...{ reason: 'put through', outcome: 'put through', putThrough: '+14155550100' },
        tools: [
          { name: 'look', ms: 0, ok: true },
          { name: 'fails', ms: 0, ok: false },
          { name: 'hangs', ms: expect.any(Number), ok: false },
          { name: 'transfer', ms: 0, ok: true },
        ],
      },
    ]);
  });

  it('waits until the last words of the caller are transcribed', async () => {
    const { session, reports } = await endedBeforeWritten();
    expect(reports).toEqual([]);
    session.send(written('u', 'Bye.'));
    await session.closed;
    await vi.waitFor(() => expect(reports).toHaveLength(1));
    expect(reports[0]?.transcript).toEqual([{ who: 'caller', text: 'Bye.', cut: false }]);
  });

  it('has no reply that came when the caller had hung up', async () => {
    const { session, reports } = await endedBeforeWritten();
    begin(session, 'r2');
    session.send(added('b', 'assistant', 'u'), spoken('b', 'r2', 'We open at nine.'));
    session.say(2_000, 'r2', 'b');
    session.send(written('u', 'Bye.'));
    await vi.waitFor(() => expect(reports).toHaveLength(1));
    expect(reports[0]?.transcript).toEqual([{ who: 'caller', text: 'Bye.', cut: false }]);
  });

  it('waits 2 s at most for the last words of the caller', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { session, reports } = await endedBeforeWritten();
    vi.advanceTimersByTime(1_999);
    await session.settle();
    expect(reports).toEqual([]);
    vi.advanceTimersByTime(1);
    await session.closed;
    await vi.waitFor(() => expect(reports).toHaveLength(1));
    expect(reports[0]?.transcript).toEqual([]);
  });

  it.each<[string, () => void | Promise<void>]>([
    [
      'throws',
      () => {
        throw new Error('disk full');
      },
    ],
    ['rejects', () => Promise.reject(new Error('disk full'))],
  ])('logs an error of `ended` when it %s, and accepts the next call', async (_, ended) => {
    const { server, twilio } = await callTo({ ended });
    twilio.stop();
    expect(await server.log.find('ended() failed')).toMatchObject({
      ...{ level: 50, callSid: CALL },
      err: { message: 'disk full' },
    });
    expect(await ring(server, { CallSid: 'CA2' })).toContain('<Connect ');
  });
});

it('A call that is over is held by nothing', async () => {
  let info: WeakRef<CallInfo> | undefined;
  const { openai, server, twilio, session } = await callTo({
    answer(call) {
      info = new WeakRef(call);
      return undefined;
    },
  });
  session.socket.terminate();
  const next = await openai.dialled();
  await next.configure();
  twilio.stop();
  await server.log.find('call ended');
  const isHeld = () => {
    collectGarbage();
    return info?.deref() !== undefined;
  };
  await expect.poll(isHeld).toBe(false);
});

describe('A pending `ended` hook', () => {
  it('does not keep its stream open', async () => {
    const { server, twilio } = await callTo({ ended: () => new Promise(() => {}) });
    twilio.stop();
    await server.log.find('call ended');
    expect(server.calls.live).toBe(0);
  });

  it('is awaited on shutdown until it has finished', async () => {
    let done = () => {};
    const ended = new Promise<void>((resolve) => {
      done = resolve;
    });
    const { server, twilio } = await callTo({ ended: () => ended });
    twilio.stop();
    await server.log.find('call ended');
    expect(await server.calls.untilFinished(1)).toBe(false);
    const finished = server.calls.untilFinished(600_000);
    done();
    expect(await finished).toBe(true);
  });

  it('is awaited for 5 s, and logged then', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { server, twilio } = await callTo({ ended: () => new Promise(() => {}) });
    twilio.stop();
    await server.log.find('call ended');
    const finished = server.calls.untilFinished(600_000);
    vi.advanceTimersByTime(4_999);
    await (await fetch(server.origin)).text();
    expect(server.log.messages()).not.toContain('ended() timed out');
    vi.advanceTimersByTime(1);
    expect(await server.log.find('ended() timed out')).toMatchObject({ level: 50, callSid: CALL });
    expect(await finished).toBe(true);
  });
});
