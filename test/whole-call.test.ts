import { expect, it, onTestFinished } from 'vitest';
import { placeCall } from './simulator/caller.ts';
import { startParrot } from './simulator/parrot.ts';
import { recording } from './simulator/recording.ts';
import { startServerAt } from './support/call.ts';
import { AUTH_TOKEN } from './support/config.ts';

const words = recording('interruption');
const greeting = words.subarray(0, 8 * 400);

it('A caller is greeted, is answered, and cuts in', { timeout: 20_000 }, async () => {
  const kinds: string[] = [];
  const parrot = await startParrot({
    ...{ greeting, updateMs: 0, thinkMs: 0 },
    onEvent: ({ type }) => kinds.push(type),
  });
  onTestFinished(() => parrot.close());
  const server = await startServerAt(parrot.url, {
    TWILIO_AUTH_TOKEN: AUTH_TOKEN,
    ALLOW_UNSIGNED_REQUESTS: 'false',
  });
  const phone = await placeCall({ url: server.origin, authToken: AUTH_TOKEN });
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

  expect(kinds.filter((kind) => /speech|truncated|error|failed/.test(kind))).toEqual([
    ...['speech-started', 'speech-stopped'],
    ...['speech-started', 'truncated', 'speech-stopped'],
  ]);
  const [, reply] = session?.items.filter(({ role }) => role === 'assistant') ?? [];
  expect(session?.truncations).toEqual([{ itemId: reply?.id, audioEndMs: expect.any(Number) }]);
  expect(session?.truncations[0]?.audioEndMs).toBeLessThan(reply?.audioMs ?? 0);
  expect(session?.audioBeforeReady).toBe(0);
  expect(phone.warnings).toEqual([]);
});
