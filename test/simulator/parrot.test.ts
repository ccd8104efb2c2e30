import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { SILENCE } from '../../src/wire/audio.ts';
import { Peer } from '../support/peers.ts';
import { type Parrot, type ParrotOptions, startParrot } from './parrot.ts';
import { recording } from './recording.ts';

const question = recording('question');
const interruption = recording('interruption');
const greeting = recording('greeting');
const pause = (ms: number) => new Uint8Array(ms * 8).fill(SILENCE);
const pcmu = { format: { type: 'audio/pcmu' } };
const update = (audio: object) => ({ type: 'session.update', session: { type: 'realtime', audio } });

let parrot: Parrot;
let client: Client;
afterEach(async () => {
  client.socket.terminate();
  await parrot.close();
});

class Client extends Peer {
  say(...audio: Uint8Array[]): void {
    this.send({ type: 'input_audio_buffer.append', audio: Buffer.concat(audio).toString('base64') });
  }

  types(): unknown[] {
    return this.received.map(({ type }) => type).filter((type) => !/\.delta$/.test(String(type)));
  }

  deltas(): Buffer[] {
    const deltas = this.received.filter(({ type }) => type === 'response.output_audio.delta');
    return deltas.map(({ delta }) => Buffer.from(String(delta), 'base64'));
  }
}

/** Starts a parrot that speaks at once, unless `options` say otherwise, and dials it. */
async function dial(options: Partial<ParrotOptions> = {}): Promise<void> {
  parrot = await startParrot({ pace: 1000, thinkMs: 0, updateMs: 0, greeting, ...options });
  client = new Client(new WebSocket(`${parrot.url}?model=gpt-realtime-2.1`));
  await client.next('session.created');
}

/** The same, for a client whose session is ready for a telephone. */
async function call(options: Partial<ParrotOptions> = {}): Promise<void> {
  await dial(options);
  const turn_detection = { type: 'server_vad', silence_duration_ms: 300 };
  client.send(update({ input: { ...pcmu, turn_detection }, output: pcmu }));
  await client.next('session.updated');
  client.forget();
}

const session = () => parrot.sessions[0];

const turn = [
  'input_audio_buffer.speech_started',
  'input_audio_buffer.speech_stopped',
  'input_audio_buffer.committed',
  'conversation.item.added',
  'conversation.item.done',
];
const head = ['response.output_item.added', 'conversation.item.added', 'response.content_part.added'];
const tail = [
  'response.output_audio.done',
  'response.output_audio_transcript.done',
  'response.content_part.done',
  'conversation.item.done',
  'response.output_item.done',
  'response.done',
];

describe('a turn', () => {
  it('The parrot repeats what was said, in the order of the recorded sessions', async () => {
    await call();
    client.say(pause(500), question, pause(400));
    const done = await client.next('response.done');
    await client.next('rate_limits.updated');
    expect(client.types()).toEqual([...turn, 'response.created', ...head, ...tail, 'rate_limits.updated']);

    const spoken = Buffer.concat(client.deltas());
    expect(question.length - spoken.length).toBeLessThan(60 * 8);
    expect(Buffer.from(question).includes(spoken.subarray(160, -160))).toBe(true);
    expect(
      client
        .deltas()
        .map(({ length }) => length)
        .slice(0, 5),
    ).toEqual([800, 1200, 2000, 2000, 2000]);

    const [user, assistant] = session()?.items ?? [];
    expect(user).toMatchObject({ role: 'user', audioMs: spoken.length / 8 });
    expect(assistant).toMatchObject({ role: 'assistant', audioMs: spoken.length / 8 });
    expect(client.received[2]).toMatchObject({ previous_item_id: null, item_id: user?.id });
    expect(done).toMatchObject({
      event_id: expect.stringMatching(/^event_\w{21}$/),
      response: {
        status: 'completed',
        output: [{ id: assistant?.id, status: 'completed', content: [{ type: 'output_audio' }] }],
      },
    });
  });

  it('A turn during a reply cancels it, and its truncation is confirmed late', async () => {
    await call({ pace: 4 });
    client.say(question, pause(400));
    const { item_id, response_id } = await client.next('response.output_audio.delta');
    client.forget();
    client.say(interruption);
    expect(await client.next('response.done')).toMatchObject({
      response: {
        id: response_id,
        status: 'cancelled',
        status_details: { type: 'cancelled', reason: 'turn_detected' },
        output: [{ id: item_id, status: 'incomplete' }],
      },
    });
    client.send(truncate(item_id, 50));
    client.say(pause(400));
    await client.next('response.created');
    const types = client.types();
    // What the next response begins with may have come, too.
    expect(types.slice(0, types.indexOf('response.created') + 1)).toEqual([
      turn[0],
      ...tail,
      ...turn.slice(1),
      'conversation.item.truncated',
      'response.created',
    ]);
    expect(client.received.find(({ type }) => type === 'conversation.item.truncated')).toMatchObject({
      ...{ item_id, content_index: 0, audio_end_ms: 50 },
    });
    expect(session()?.truncations).toEqual([{ itemId: item_id, audioEndMs: 50 }]);

    client.forget();
    for (let n = 0; n < 4; n += 1) await client.next('response.output_audio.delta');
    expect(client.received.filter((event) => event.response_id === response_id)).toEqual([]);
  });

  it('Audio that comes before the session is updated is counted, and not heard', async () => {
    await dial();
    client.say(question, pause(400));
    client.send(update({ input: pcmu, output: pcmu }));
    await client.next('session.updated');
    expect(client.types()).toEqual(['session.created', 'session.updated']);
    expect(session()?.audioBeforeReady).toBe(1);
  });
});

const truncate = (item_id: unknown, audio_end_ms: number) => ({
  type: 'conversation.item.truncate',
  event_id: 'cut',
  item_id,
  content_index: 0,
  audio_end_ms,
});

describe('truncating', () => {
  it('A truncation is refused beyond what the item has, and of an item without a voice', async () => {
    await call();
    client.say(question, pause(400));
    const { item_id } = await client.next('response.output_audio.done');
    const [user, assistant] = session()?.items ?? [];
    const has = assistant?.audioMs ?? 0;
    const voiceless = { code: 'invalid_value', message: 'Only model output audio messages can be truncated' };
    const tooLong = `Audio content of ${has}ms is already shorter than ${has + 1}ms`;
    for (const [id, ms, error] of [
      [item_id, has + 1, { code: 'invalid_value', message: tooLong }],
      [item_id, 0.5, { param: 'audio_end_ms' }],
      [user?.id, 0, voiceless],
      ['item_unknown', 0, voiceless],
    ] as const) {
      client.send(truncate(id, ms));
      expect(await client.next('error')).toMatchObject({ error: { ...error, event_id: 'cut' } });
    }
    expect(session()?.truncations).toEqual([]);
  });
});

describe('asking for a response', () => {
  it('The parrot says the greeting at first, and the last words once there are some', async () => {
    await call();
    const metadata = { why: 'hello' };
    client.send({ type: 'response.create', response: { instructions: 'Greet.', metadata } });
    expect(await client.next('response.created')).toMatchObject({ response: { metadata } });
    expect(await client.next('response.done')).toMatchObject({ response: { metadata } });
    expect(Buffer.concat(client.deltas())).toEqual(Buffer.from(greeting));

    client.forget();
    client.say(question, pause(400));
    await client.next('response.done');
    const words = client.deltas();
    client.forget();
    client.send({ type: 'response.create' });
    await client.next('response.done');
    expect(client.deltas()).toEqual(words);
  });

  it('A second response is refused while there is one', async () => {
    await call();
    client.send({ type: 'response.create' }, { type: 'response.create', event_id: 'again' });
    expect(await client.next('error')).toMatchObject({
      error: { code: 'conversation_already_has_active_response', event_id: 'again' },
    });
  });
});

describe('what a client sends', () => {
  it.each([
    ['a binary frame', Buffer.from('{}'), { code: 'invalid_json' }],
    ['bad JSON', '{', { code: 'invalid_json' }],
    [
      'an unknown type',
      '{"type":"nope","event_id":"e1"}',
      { code: 'invalid_value', param: 'type', event_id: 'e1' },
    ],
    ['audio that is not base64', '{"type":"input_audio_buffer.append","audio":"*"}', { param: 'audio' }],
    [
      'an update with a made-up field',
      '{"type":"session.update","event_id":"e2","session":{"type":"realtime","temperature":1}}',
      { code: 'unknown_parameter', param: 'session.temperature', event_id: 'e2' },
    ],
  ])('The parrot refuses %s, and the session goes on', async (_, frame, error) => {
    await call();
    client.socket.send(frame);
    expect(await client.next('error')).toMatchObject({ error });
    client.send({ type: 'response.create' });
    await client.next('response.done');
  });

  it('The voice may not change once it was heard, but may be named again', async () => {
    await call();
    client.send(update({ output: { voice: { id: 'voice_1' } } }), { type: 'response.create' });
    await client.next('response.done');
    client.send(update({ output: { voice: { id: 'voice_1' } } }));
    await client.next('session.updated');
    client.send(update({ output: { voice: 'cedar' } }));
    expect(await client.next('error')).toMatchObject({ error: { code: 'cannot_update_voice' } });
  });
});
