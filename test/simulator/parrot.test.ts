import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import {
  call,
  create,
  greeting,
  ITEM,
  message,
  pause,
  pressed,
  question,
  SPOKEN,
  TURN,
  truncate,
  UPDATE,
} from './parrot-client.ts';
import { recording } from './recording.ts';

describe('a turn', () => {
  it('is repeated, in the order of the recorded sessions', async () => {
    const { client, session } = await call();
    client.say(pause(500), question, pause(400));
    const done = await client.next('response.done');
    await client.next('rate_limits.updated');
    const transcript = client.received.find(({ transcript }) => transcript === 'Squawk squawk');
    const types = client.types().filter((type) => type !== transcript?.type);
    const reply = ['response.created', ...ITEM, 'response.content_part.added', ...SPOKEN, 'response.done'];
    expect(types).toEqual([...TURN, ...reply, 'rate_limits.updated']);

    const spoken = Buffer.concat(client.deltas());
    expect(question.length - spoken.length).toBeLessThan(60 * 8);
    expect(Buffer.from(question).includes(spoken.subarray(160, -160))).toBe(true);
    const lengths = client.deltas().map(({ length }) => length);
    expect(lengths.slice(0, 5)).toEqual([800, 1200, 2000, 2000, 2000]);

    const audioMs = spoken.length / 8;
    const [user, assistant] = session.items;
    expect([user, assistant]).toMatchObject([{ audioMs }, { role: 'assistant', audioMs }]);
    expect(client.received[2]).toMatchObject({ previous_item_id: null, item_id: user?.id });
    expect(client.received.filter(({ type }) => type === 'conversation.item.added')).toMatchObject([
      { previous_item_id: null },
      { previous_item_id: user?.id },
    ]);
    const type = 'conversation.item.input_audio_transcription.completed';
    expect(transcript).toMatchObject({ type, item_id: user?.id, usage: { type: 'duration', seconds: 4 } });
    const item = { id: assistant?.id, status: 'completed', content: [{ type: 'output_audio' }] };
    const event_id = expect.stringMatching(/^event_\w{21}$/);
    expect(done).toMatchObject({ event_id, response: { status: 'completed', output: [item] } });
  });

  it('cancels a reply, and has its truncation confirmed late', async () => {
    const { client, session } = await call({ pace: 4 });
    client.say(question, pause(400));
    const { item_id, response_id } = await client.next('response.output_audio.delta');
    client.forget();
    client.say(recording('interruption'));
    const reason = { type: 'cancelled', reason: 'turn_detected' };
    const output = [{ id: item_id, status: 'incomplete' }];
    const cancelled = { id: response_id, status: 'cancelled', status_details: reason, output };
    expect(await client.done()).toMatchObject(cancelled);
    client.send(truncate(item_id, 50));
    client.say(pause(400));
    await client.next('response.created');
    const types = client.types().filter((type) => !/transcription/.test(String(type)));
    // The next response's first events may have come, too.
    expect(types.slice(0, types.indexOf('response.created'))).toEqual([
      ...[TURN[0], ...SPOKEN, 'response.done', ...TURN.slice(1), 'conversation.item.truncated'],
    ]);
    expect(session.truncations).toEqual([{ itemId: item_id, audioEndMs: 50 }]);

    client.forget();
    for (let n = 0; n < 4; n += 1) await client.next('response.output_audio.delta');
    expect(client.received.filter((event) => event.response_id === response_id)).toEqual([]);
  });

  it('is not heard before the session is updated', async () => {
    const { client, session } = await call({}, false);
    client.say(question, pause(400));
    client.send(UPDATE);
    await client.next('session.updated');
    expect(client.types()).toEqual(['session.updated']);
    expect(session.audioBeforeReady).toBe(1);
  });
});

describe('a response', () => {
  it('is the greeting at first, and then the last words', async () => {
    const { client } = await call();
    const metadata = { why: 'hello' };
    client.send({ type: 'response.create', response: { instructions: 'Greet.', metadata } });
    expect(await client.next('response.created')).toMatchObject({ response: { metadata } });
    expect(await client.done()).toMatchObject({ metadata });
    expect(Buffer.concat(client.deltas())).toEqual(Buffer.from(greeting));

    client.forget();
    client.say(question, pause(400));
    await client.next('response.done');
    const words = client.deltas();
    client.forget();
    await client.respond();
    expect(client.deltas()).toEqual(words);
  });

  it.each([true, false])('is cancelled, named: %s, without calling its tool', async (isNamed) => {
    const { client, events } = await call({ pace: 4 });
    client.send(pressed('9'), { type: 'response.create' });
    const { response_id } = await client.next('response.output_audio.delta');
    client.send({ type: 'response.cancel', ...(isNamed && { response_id }) });
    const status_details = { type: 'cancelled', reason: 'client_cancelled' };
    const response = await client.done();
    expect(response).toMatchObject({ id: response_id, status: 'cancelled', status_details });
    expect(response).toMatchObject({ output: [{ type: 'message', status: 'incomplete' }] });
    expect(events.map(({ type }) => type)).not.toContain('tool-called');
  });

  it('is refused while there is another, and cancelled by its own name only', async () => {
    const { client } = await call();
    const inactive = { code: 'response_cancel_not_active', event_id: 'c' };
    const cancel = { type: 'response.cancel', event_id: 'c' };
    client.send(cancel, { type: 'response.create' }, { type: 'response.create', event_id: 'again' });
    client.send({ ...cancel, response_id: 'resp_other' });
    expect(await client.next('error')).toMatchObject({ error: inactive });
    const active = { code: 'conversation_already_has_active_response', event_id: 'again' };
    expect(await client.next('error')).toMatchObject({ error: active });
    expect(await client.next('error')).toMatchObject({ error: inactive });
    expect(await client.done()).toMatchObject({ status: 'completed' });
  });
});

describe('what a client sends', () => {
  it('is added as an item behind the item before it', async () => {
    const { client, session, events } = await call();
    client.send(create(message('Calls from Oslo.', 'system')), pressed('3 4 #'));
    const system = await client.next('conversation.item.done');
    const user = await client.next('conversation.item.done');
    const text = '(The caller pressed 3 4 # on the keypad.)';
    const added = { id: expect.stringMatching(/^item_\w{21}$/), status: 'completed' };
    expect(system).toMatchObject({ previous_item_id: null, item: { ...added, role: 'system' } });
    const previous_item_id = Object(system.item).id;
    expect(user).toMatchObject({ previous_item_id, item: { ...added, ...message(text) } });
    expect(session.items).toMatchObject([{ role: 'system', text: 'Calls from Oslo.' }, { text }]);
    const told = { type: 'told', text: 'Calls from Oslo.' };
    expect(events).toEqual([told, { type: 'keys-heard', digits: '34#' }]);
  });

  it.each([
    ['a binary frame', Buffer.from('{}'), { code: 'invalid_json' }],
    ['bad JSON', '{', { code: 'invalid_json' }],
    ['an unknown type', '{"type":"nope","event_id":"e1"}', { param: 'type', event_id: 'e1' }],
    ['audio that is not base64', '{"type":"input_audio_buffer.append","audio":"*"}', { param: 'audio' }],
    ['an update of another shape', '{"type":"session.update"}', { param: 'session' }],
    ['an item of another shape', '{"type":"conversation.item.create"}', { param: 'item' }],
  ])('is refused, with the session going on, if it is %s', async (_, frame, error) => {
    const { client } = await call();
    client.socket.send(frame);
    const message = expect.stringMatching(/^This parrot takes only /);
    expect(await client.next('error')).toMatchObject({ error: { ...error, message } });
    expect(await client.respond()).toMatchObject({ status: 'completed' });
  });

  it('is refused if it truncates more than an item has, or no voice', async () => {
    const { client, session } = await call();
    client.say(question, pause(400));
    const { item_id } = await client.next('response.output_audio.done');
    const [user, assistant] = session.items;
    const has = assistant?.audioMs ?? 0;
    const voiceless = { message: 'Only model output audio messages can be truncated' };
    const tooLong = { message: `Audio content of ${has}ms is already shorter than ${has + 1}ms` };
    for (const [id, ms, error] of [
      [item_id, has + 1, tooLong],
      [item_id, 0.5, { param: 'audio_end_ms' }],
      [user?.id, 0, voiceless],
      ['item_unknown', 0, voiceless],
    ] as const) {
      client.send(truncate(id, ms));
      expect(await client.next('error')).toMatchObject({ error: { ...error, event_id: 'cut' } });
    }
    expect(session.truncations).toEqual([]);
  });
});

describe('the parrot', () => {
  it.each([
    { origin: 'http://evil.example' },
    { origin: 'http://127.0.0.1:3001' },
    { 'sec-fetch-site': 'cross-site' },
    { host: 'evil.example' },
  ])('refuses a client with %j', async (headers) => {
    const { parrot } = await call();
    const [error] = await once(new WebSocket(parrot.url, { headers }), 'error');
    expect(error.message).toBe('Unexpected server response: 403');
  });

  it('closes a session that sends more than a megabyte at once', async () => {
    const { client } = await call();
    client.socket.send(' '.repeat(1_048_577));
    expect(await client.closed).toMatchObject({ code: 1009 });
  });
});
