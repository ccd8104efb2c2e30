import { expect, it, vi } from 'vitest';
import { startServer } from './support/call.ts';
import { heapMiB, leftResources } from './support/memory.ts';
import { dialStream, type FakeOpenAI, type OpenAIPeer, type TwilioPeer } from './support/peers.ts';

type End = (twilio: TwilioPeer, session: OpenAIPeer, openai: FakeOpenAI) => void | Promise<void>;

/** Every way in which a call ends, from before it has a session to its middle. */
const endings: End[] = [
  (twilio) => twilio.stop(),
  (twilio) => twilio.socket.close(1000),
  (twilio) => twilio.socket.terminate(),
  (twilio) => twilio.socket.send('x'.repeat(70_000)),
  (_, session) => session.socket.close(1001),
  async (_, session, openai) => {
    session.socket.terminate();
    // Before the session is ready, it is dialled once more.
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
    session.socket.terminate();
  },
  async (_, session) => {
    await session.configure();
    const response = { id: 'r', status: 'failed', status_details: { error: { code: 'insufficient_quota' } } };
    session.send({ type: 'response.done', response });
  },
];

it('1,000 calls, ended in every way, leave no socket, timer, place or memory behind', {
  timeout: 60_000,
}, async () => {
  const { openai, server } = await startServer({ MAX_CONCURRENT_CALLS: '1' });
  const heaps: number[] = [];

  for (let n = 0; n < 1_000; n++) {
    const twilio = await dialStream(server.origin);
    twilio.start(`CA${n}`);
    const session = await openai.dialled();
    await endings[n % endings.length]?.(twilio, session, openai);
    await Promise.all([twilio.closed, session.closed]);
    await vi.waitFor(() => expect(server.calls.live).toBe(0), { interval: 1 });
    openai.peers.splice(0);
    if (n % 250 === 249) {
      const ended = () => server.log.messages(({ msg }) => msg === 'call ended');
      await vi.waitFor(() => expect(ended()).toHaveLength(250), { interval: 1 });
      server.log.lines.splice(0);
      heaps.push(heapMiB());
    }
  }

  expect(await leftResources()).toEqual([]);
  const [, early = 0, , late = 0] = heaps;
  expect(late - early).toBeLessThan(1);
});
