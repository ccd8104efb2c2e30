import { describe, expect, it } from 'vitest';
import { readToolCall } from './function-call.ts';
import {
  answer,
  CALLED,
  call,
  create,
  goodbye,
  ITEM,
  output,
  pause,
  pressed,
  question,
  SPOKEN,
  truncate,
} from './parrot-client.ts';

describe('a tool', () => {
  it('is called on its keys, and its output is followed by an answer', async () => {
    const { client, events } = await call();
    client.send(pressed('1 2'));
    await client.next('conversation.item.done');
    client.forget();
    const response = await client.respond();
    expect(client.types()).toEqual(['response.created', ...ITEM, ...CALLED, 'response.done']);
    const [added, , delta] = client.received.slice(1);
    const { id, call_id } = Object(added?.item);
    expect(added).toMatchObject({ output_index: 0, item: { status: 'in_progress', arguments: '' } });
    expect(delta).toMatchObject({ item_id: id, call_id, output_index: 0 });
    const item = { id, type: 'function_call', status: 'completed', name: 'get_time', call_id };
    expect(response).toMatchObject({ status: 'completed', output: [item] });
    expect(JSON.parse(Object(response.output)[0].arguments)).toEqual({ city: 'Oslo' });

    client.send(create(output(call_id)));
    const done = await client.next('conversation.item.done');
    expect(done.previous_item_id).toBe(id);
    expect(done.item).toEqual({ id: expect.stringMatching(/^item_/), ...output(call_id) });
    await client.respond();
    expect(Buffer.concat(client.deltas())).toEqual(Buffer.from(answer));
    expect(events).toEqual([
      { type: 'keys-heard', digits: '12' },
      { type: 'tool-called', name: 'get_time', args: { city: 'Oslo' } },
      { type: 'tool-answered', name: 'get_time', ms: expect.any(Number), output: '"12:00"' },
      { type: 'reply-started' },
      { type: 'reply-done', ms: 200 },
    ]);

    client.send(create(output(call_id)));
    expect(await client.next('error')).toMatchObject({ error: { code: 'invalid_tool_call_id' } });
  });

  it('is called on the key of its number, and on no other', async () => {
    const { client } = await call();
    for (const [key, type] of [
      ['2', 'function_call'],
      ['5', 'message'],
      ['0', 'message'],
    ] as const) {
      client.send(pressed(key));
      expect(await client.respond()).toMatchObject({ output: [{ type }] });
    }
  });

  it('is called in the response of what is said before', async () => {
    const { client } = await call();
    client.send(pressed('9'));
    await client.next('conversation.item.done');
    client.forget();
    const said = { type: 'message', status: 'completed' };
    const called = { type: 'function_call', status: 'completed', name: 'hang_up' };
    expect(await client.respond()).toMatchObject({ output: [said, called] });
    const reply = [...ITEM, 'response.content_part.added', ...ITEM, ...SPOKEN, ...CALLED];
    expect(client.types()).toEqual(['response.created', ...reply, 'response.done']);
    expect(Buffer.concat(client.deltas())).toEqual(Buffer.from(goodbye));
  });

  it('is called after what is being said, if its keys come then', async () => {
    const { client } = await call({ pace: 4 });
    client.send(pressed('9'), { type: 'response.create' });
    const { item_id } = await client.next('response.output_audio.delta');
    client.send(truncate(item_id, 50), pressed('1 2'));
    await client.next('conversation.item.truncated');
    // The item with the keys comes first.
    expect(client.types().slice(-3, -1)).toEqual(['conversation.item.added', 'conversation.item.done']);
    await client.next('response.done');
    expect(await client.respond()).toMatchObject({ output: [{ name: 'get_time' }] });
  });

  it('is called at the first turn, and once', async () => {
    const { client } = await call({ onFirstTurn: { tool: 'get_time', args: { city: 'Rome' } } });
    client.say(question, pause(400));
    const response = await client.done();
    expect(response).toMatchObject({ output: [{ arguments: expect.stringContaining('"Rome"') }] });
    client.say(question, pause(400));
    expect(await client.done()).toMatchObject({ output: [{ type: 'message' }] });
  });

  it('is called by hand, on a live session that has it', async () => {
    const { client, session, events } = await call({ pace: 4 });
    expect(session.isLive).toBe(false);
    client.send({ type: 'response.create' });
    await client.next('response.output_audio.delta');
    expect(session.isLive).toBe(true);
    session.callTool({ tool: 'dance', args: {} });
    expect(events.at(-1)).toMatchObject({ message: 'the session has get_time, hang_up, not dance' });
    session.callTool({ tool: 'hang_up', args: {} });
    expect(await client.done()).toMatchObject({ output: [{ type: 'message' }] });
    expect(await client.done()).toMatchObject({ output: [{ name: 'hang_up' }] });
  });
});

describe('readToolCall', () => {
  it.each([
    ['book {"day":"Friday"}', { tool: 'book', args: { day: 'Friday' } }],
    [' hang_up ', { tool: 'hang_up', args: {} }],
    ['book Friday', undefined],
    ['book ["Friday"]', undefined],
    ['', undefined],
  ])('reads %j', (line, call) => {
    expect(readToolCall(line)).toEqual(call);
  });
});
