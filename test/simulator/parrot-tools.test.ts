import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { SILENCE } from '../../src/wire/audio.ts';
import { Peer } from '../support/peers.ts';
import { type Parrot, type ParrotEvent, startParrot } from './parrot.ts';
import { recording } from './recording.ts';

const question = recording('question');
const audio = (ms: number, byte: number) => new Uint8Array(8 * ms).fill(byte);
const [greeting, goodbye, answer] = [audio(300, 1), audio(800, 2), audio(200, 3)];
const onKeys = {
  12: { tool: 'get_time', args: { city: 'Oslo' }, answer },
  9: { tool: 'hang_up', args: {}, says: goodbye },
  0: { tool: 'dance', args: {} },
};
const pcmu = { format: { type: 'audio/pcmu' } };
const tool = (name: string) => ({
  type: 'function',
  name,
  description: name,
  parameters: { type: 'object' },
});

let parrot: Parrot;
let client: Peer;
let reports: ParrotEvent[];

beforeEach(async () => {
  // The one of the test before may still report its end.
  const events: ParrotEvent[] = [];
  reports = events;
  const quick = { updateMs: 0, thinkMs: 0, pace: 4 };
  parrot = await startParrot({ ...quick, greeting, onKeys, onEvent: (event) => events.push(event) });
  client = new Peer(new WebSocket(`${parrot.url}?model=gpt-realtime-2.1`));
  await client.next('session.created');
  const tools = [tool('get_time'), tool('hang_up')];
  const input = { ...pcmu, transcription: { model: 'gpt-realtime-whisper', language: 'en' } };
  const session = { type: 'realtime', tools, audio: { input, output: pcmu } };
  client.send({ type: 'session.update', session });
  await client.next('session.updated');
  client.forget();
});

afterEach(async () => {
  client.socket.terminate();
  await parrot.close();
});

const create = (item: unknown, more = {}) => ({ type: 'conversation.item.create', item, ...more });
const message = (text: string, role = 'user') => ({
  type: 'message',
  role,
  content: [{ type: 'input_text', text }],
});
const pressed = (digits: string) => create(message(`(The caller pressed ${digits} on the keypad.)`));
const output = (call_id: unknown) => ({ type: 'function_call_output', call_id, output: '"12:00"' });

/** Asks for a response, and returns it once it is done. */
async function respond(): Promise<unknown> {
  client.send({ type: 'response.create' });
  return (await client.next('response.done')).response;
}

/** The events that came, without the deltas but the first of each kind in a row. */
function types(): unknown[] {
  const all = client.received.map(({ type }) => String(type)).filter((type) => !/transcript\./.test(type));
  return all.filter((type, i) => !type.endsWith('.delta') || type !== all[i - 1]);
}

/** What was said, in mu-law. */
function said(): Buffer {
  const deltas = client.received.filter(({ type }) => type === 'response.output_audio.delta');
  return Buffer.concat(deltas.map(({ delta }) => Buffer.from(String(delta), 'base64')));
}

describe('an item of the client', () => {
  it('An item is added and done behind the item before it, and a message is completed', async () => {
    client.send(create(message('Calls from Oslo.', 'system')), pressed('3 4 #'));
    const system = await client.next('conversation.item.done');
    const user = await client.next('conversation.item.done');
    const id = expect.stringMatching(/^item_\w{21}$/);
    const item = { id, role: 'system', status: 'completed' };
    expect(system).toMatchObject({ previous_item_id: null, item });
    const previous_item_id = Object(system.item).id;
    const text = '(The caller pressed 3 4 # on the keypad.)';
    expect(user).toMatchObject({ previous_item_id, item: { ...message(text), id, status: 'completed' } });
    expect(types()).toEqual(Array(2).fill(['conversation.item.added', 'conversation.item.done']).flat());
    expect(parrot.sessions[0]?.items).toMatchObject([{ role: 'system', text: 'Calls from Oslo.' }, { text }]);
    expect(reports.slice(1)).toEqual([{ type: 'keys-heard', digits: '34#' }]);
  });

  const hi = { type: 'input_text', text: 'Hi' };
  const containing = (...content: object[]) => create({ ...message(''), content });
  it.each([
    ['unknown_parameter', 'item.status', create({ ...message('Hi'), status: 'completed' })],
    ['unknown_parameter', 'item.content[0].audio', containing({ ...hi, audio: '' })],
    ['unknown_parameter', 'item.status', create({ ...output('call_1'), status: 'completed' })],
    ['unknown_parameter', 'response', create(message('Hi'), { response: {} })],
    ['unknown_parameter', 'reason', { type: 'response.cancel', reason: 'key' }],
    ['missing_required_parameter', 'item', { type: 'conversation.item.create' }],
    ['missing_required_parameter', 'item.role', create({ ...message('Hi'), role: undefined })],
    ['invalid_value', 'item.output', create({ ...output('call_1'), output: { time: '12:00' } })],
    ['invalid_value', 'item.role', create(message('Hi', 'assistant'))],
    ['invalid_value', 'item.content[0].type', containing({ ...hi, type: 'text' })],
    ['invalid_value', 'item.content', containing(hi, hi)],
    ['invalid_tool_call_id', undefined, create(output('call_1'))],
  ])('The parrot refuses with %s of %s what is not in its shape', async (code, param, event) => {
    client.send({ ...event, event_id: 'e1' });
    const error = { code, event_id: 'e1', ...(param !== undefined && { param }) };
    expect(await client.next('error')).toMatchObject({ error });
    expect(parrot.sessions[0]?.items).toEqual([]);
  });
});

describe('keys that mean a tool', () => {
  const call = [
    'response.output_item.added',
    'conversation.item.added',
    'response.function_call_arguments.delta',
  ];
  const callDone = [
    'response.function_call_arguments.done',
    'conversation.item.done',
    'response.output_item.done',
    'response.done',
  ];

  it('The tool is called without a word, and what follows from its output is said when asked for', async () => {
    client.send(pressed('1 2'));
    await client.next('conversation.item.done');
    client.forget();
    const response = await respond();
    expect(types()).toEqual(['response.created', ...call, ...callDone]);
    const [added, , delta] = client.received.slice(1);
    const { id, call_id } = Object(added?.item);
    expect(added).toMatchObject({ output_index: 0, item: { status: 'in_progress', arguments: '' } });
    expect(delta).toMatchObject({ item_id: id, call_id, output_index: 0 });
    const item = { id, type: 'function_call', status: 'completed', name: 'get_time', call_id };
    expect(response).toMatchObject({ status: 'completed', output: [item] });
    expect(JSON.parse(Object(response).output[0].arguments)).toEqual({ city: 'Oslo' });

    client.send(create(output(call_id)));
    const done = await client.next('conversation.item.done');
    expect(done.previous_item_id).toBe(id);
    expect(done.item).toEqual({ id: expect.stringMatching(/^item_/), ...output(call_id) });
    await respond();
    expect(said()).toEqual(Buffer.from(answer));
    expect(reports.slice(1)).toEqual([
      { type: 'keys-heard', digits: '12' },
      { type: 'tool-called', name: 'get_time' },
      { type: 'tool-answered', name: 'get_time', ms: expect.any(Number) },
      { type: 'reply-started' },
      { type: 'reply-done', ms: 200 },
    ]);

    client.send(create(output(call_id)));
    expect(await client.next('error')).toMatchObject({ error: { code: 'invalid_tool_call_id' } });
  });

  it('A number that means nothing else has the tool of that number called, without arguments', async () => {
    client.send(pressed('2'));
    await client.next('conversation.item.done');
    const { output } = Object(await respond());
    expect(output).toMatchObject([{ type: 'function_call', name: 'hang_up' }]);
    expect(JSON.parse(output[0].arguments)).toEqual({});
  });

  it('What is said before the call is in the same response, and done after the arguments', async () => {
    client.send(pressed('9'));
    await client.next('conversation.item.done');
    client.forget();
    expect(await respond()).toMatchObject({
      output: [
        { type: 'message', status: 'completed' },
        { type: 'function_call', status: 'completed', name: 'hang_up' },
      ],
    });
    expect(types()).toEqual([
      ...['response.created', 'response.output_item.added', 'conversation.item.added'],
      ...['response.content_part.added', 'response.output_audio.delta', ...call],
      ...['response.output_audio.done', 'response.content_part.done'],
      ...['conversation.item.done', 'response.output_item.done', ...callDone],
    ]);
    expect(said()).toEqual(Buffer.from(goodbye));
    expect(reports.slice(2).map(({ type }) => type)).toEqual(['reply-started', 'reply-done', 'tool-called']);
  });

  it('Keys that come while the parrot speaks are what its next response is about', async () => {
    client.send(pressed('9'), { type: 'response.create' });
    await client.next('response.output_audio.delta');
    client.send(pressed('1 2'));
    await client.next('response.done');
    expect(await respond()).toMatchObject({ output: [{ name: 'get_time' }] });
  });

  it.each(['5', '0'])('The key %s, which means no tool of the session, calls none', async (digit) => {
    client.send(pressed(digit));
    expect(await respond()).toMatchObject({ output: [{ type: 'message' }] });
    expect(said()).toEqual(Buffer.from(greeting));
  });
});

describe('cancelling a response', () => {
  it('A response is cancelled by its id or by none, and its tool is not called', async () => {
    client.send(pressed('9'));
    for (const named of [true, false]) {
      client.send({ type: 'response.create' });
      const { response_id } = await client.next('response.output_audio.delta');
      client.send({ type: 'response.cancel', ...(named && { response_id }) });
      expect(await client.next('response.done')).toMatchObject({
        response: {
          id: response_id,
          status: 'cancelled',
          status_details: { type: 'cancelled', reason: 'client_cancelled' },
          output: [{ type: 'message', status: 'incomplete' }],
        },
      });
    }
    expect(reports.map(({ type }) => type)).not.toContain('tool-called');
  });

  it('Nothing is cancelled where no response is active, or another than is named', async () => {
    const refused = { error: { code: 'response_cancel_not_active', event_id: 'c' } };
    client.send({ type: 'response.cancel', event_id: 'c' });
    expect(await client.next('error')).toMatchObject(refused);
    client.send({ type: 'response.create' });
    await client.next('response.created');
    client.send({ type: 'response.cancel', event_id: 'c', response_id: 'resp_other' });
    expect(await client.next('error')).toMatchObject(refused);
    expect(await client.next('response.done')).toMatchObject({ response: { status: 'completed' } });
  });

  it('A truncation is confirmed after the item that says which keys interrupted', async () => {
    client.send({ type: 'response.create' });
    const { item_id } = await client.next('response.output_audio.delta');
    const audio_end_ms = 50;
    client.send(
      { type: 'conversation.item.truncate', item_id, content_index: 0, audio_end_ms },
      pressed('1'),
    );
    await client.next('conversation.item.truncated');
    const cut = types().indexOf('conversation.item.truncated');
    expect(types().slice(cut - 2, cut)).toEqual(['conversation.item.added', 'conversation.item.done']);
  });
});

it('A turn is transcribed where the session asks for it', async () => {
  const sound = Buffer.concat([question, audio(600, SILENCE)]).toString('base64');
  client.send({ type: 'input_audio_buffer.append', audio: sound });
  const { item_id } = await client.next('input_audio_buffer.committed');
  expect(await client.next('conversation.item.input_audio_transcription.completed')).toMatchObject({
    item_id,
    content_index: 0,
    transcript: 'Squawk squawk',
    usage: { type: 'duration', seconds: 4 },
  });
});
