import { expect, it, vi } from 'vitest';
import { startServer } from './support/call.ts';
import { heapMiB, leftResources, resources } from './support/memory.ts';
import { dialStream, type FakeOpenAI, type OpenAIPeer, type TwilioPeer } from './support/peers.ts';
import { rounds } from './support/rounds.ts';

type End = (twilio: TwilioPeer, session: OpenAIPeer, openai: FakeOpenAI) => void | Promise<void>;

/** Resolves when the session's first audio has reached the caller. */
async function heard(twilio: TwilioPeer, session: OpenAIPeer): Promise<void> {
  await session.configure();
  session.say(400);
  await twilio.next('mark');
}

/** Every way to end a call, from before its session to mid-call. */
const endings: End[] = [
  (twilio) => twilio.stop(),
  (twilio) => twilio.socket.close(1000),
  (twilio) => twilio.socket.terminate(),
  (twilio) => twilio.socket.send('x'.repeat(70_000)),
  (_, session) => session.socket.close(1001),
  async (_, session, openai) => {
    session.socket.terminate();
    // A session that isn't ready yet is retried once.
    (await openai.dialled()).socket.terminate();
  },
  (_, session) => {
    session.send({ type: 'error', error: { code: 'invalid_api_key' } });
    session.socket.close(3000, 'invalid_request_error.invalid_api_key');
  },
  async (_, session) => {
    await session.begin();
    session.send({ type: 'error', error: { code: 'unknown_parameter' } });
  },
  async (_, session) => {
    await session.configure('audio/pcm');
  },
  async (twilio, session) => {
    await session.configure();
    session.say(400);
    await twilio.next('mark');
    twilio.stop();
  },
  async (twilio, session) => {
    await session.configure();
    session.say(4_000);
    await twilio.next('mark');
    session.send({ type: 'input_audio_buffer.speech_started' });
    await twilio.next('clear');
    twilio.socket.terminate();
  },
  async (_, session) => {
    await session.configure();
    const response = { id: 'r', status: 'failed', status_details: { error: { code: 'insufficient_quota' } } };
    session.send({ type: 'response.done', response });
  },
];

/** Every way to lose a session in mid-call. */
const takeovers: End[] = [
  // The next session serves to the end.
  async (twilio, session, openai) => {
    await heard(twilio, session);
    session.socket.terminate();
    const next = await openai.dialled();
    await next.configure();
    await next.next('response.create');
    twilio.stop();
    await next.closed;
  },
  // The caller hangs up while the next is dialled.
  async (twilio, session, openai) => {
    await heard(twilio, session);
    session.socket.close(1001);
    const next = await openai.dialled();
    twilio.stop();
    await next.closed;
  },
  // The third loss ends the call.
  async (twilio, session, openai) => {
    await heard(twilio, session);
    session.socket.terminate();
    for (let n = 0; n < 2; n++) {
      const next = await openai.dialled();
      await heard(twilio, next);
      next.socket.terminate();
    }
  },
];

it.each([
  ['that end in every way', endings],
  ['whose sessions are lost', takeovers],
])('Calls %s leave no socket, timer, place or memory behind', { timeout: 60_000 }, async (_, ends) => {
  const before = resources();
  const quarter = rounds(1_000) / 4;
  const { openai, server } = await startServer({ MAX_CONCURRENT_CALLS: '1' });
  const heaps: number[] = [];

  for (let n = 0; n < 4 * quarter; n++) {
    const twilio = await dialStream(server.origin);
    twilio.start(`CA${n}`);
    const session = await openai.dialled();
    await ends[n % ends.length]?.(twilio, session, openai);
    await Promise.all([twilio.closed, session.closed]);
    await vi.waitFor(() => expect(server.calls.live).toBe(0), { interval: 1 });
    // Twilio asks about each.
    server.calls.next(`CA${n}`);
    openai.peers.splice(0);
    if (n % quarter === quarter - 1) {
      const ended = () => server.log.messages(({ msg }) => msg === 'call ended');
      await vi.waitFor(() => expect(ended()).toHaveLength(quarter), { interval: 1 });
      server.log.lines.splice(0);
      heaps.push(heapMiB());
    }
  }

  expect(await leftResources(before)).toBe(0);
  const [, early = 0, , late = 0] = heaps;
  expect(late - early).toBeLessThan(1);
});
