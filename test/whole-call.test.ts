import { afterEach, beforeEach, expect, it } from 'vitest';
import { type PhoneCall, placeCall } from './simulator/caller.ts';
import { type Parrot, type ParrotEvent, startParrot } from './simulator/parrot.ts';
import { recording } from './simulator/recording.ts';
import { TestServer } from './support/server.ts';

const words = recording('interruption');
const greeting = words.subarray(0, 8 * 400);

let parrot: Parrot;
let server: TestServer;
let phone: PhoneCall;
let happened: ParrotEvent[];

beforeEach(async () => {
  happened = [];
  parrot = await startParrot({ greeting, updateMs: 0, thinkMs: 0, onEvent: (event) => happened.push(event) });
  server = await TestServer.start({
    OPENAI_REALTIME_URL: parrot.url,
    TWILIO_AUTH_TOKEN: 'a-secret',
    ALLOW_UNSIGNED_REQUESTS: 'false',
  });
  phone = await placeCall({ url: server.origin, authToken: 'a-secret' });
});

afterEach(async () => {
  await server.app.close();
  await parrot.close();
});

const kinds = (): string[] => happened.map(({ type }) => type);

it('A caller is greeted, is answered, and cuts in', { timeout: 20_000 }, async () => {
  await phone.untilPlaying();
  const [session] = parrot.sessions;
  await phone.untilSilentFor(100);
  expect(phone.heardMs).toBe(400);

  await phone.say(words);
  await phone.untilPlaying();
  await phone.say(words);
  await phone.untilPlaying();
  await phone.untilSilentFor(100);
  await phone.hangUp();
  await server.log.find('call ended');

  expect(kinds().filter((kind) => /speech|truncated|error|failed/.test(kind))).toEqual([
    ...['speech-started', 'speech-stopped'],
    ...['speech-started', 'truncated', 'speech-stopped'],
  ]);
  const [, reply] = session?.items.filter(({ role }) => role === 'assistant') ?? [];
  expect(session?.truncations).toEqual([{ itemId: reply?.id, audioEndMs: expect.any(Number) }]);
  expect(session?.truncations[0]?.audioEndMs).toBeLessThan(reply?.audioMs ?? 0);
  expect(session?.audioBeforeReady).toBe(0);
  expect(phone.warnings).toEqual([]);
});
