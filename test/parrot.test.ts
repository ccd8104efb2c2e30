import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { SILENCE } from '../src/wire/audio.ts';
import type { JsonObject } from '../src/wire/json.ts';
import {
  type Failure,
  type Parrot,
  type ParrotEvent,
  type ParrotOptions,
  startParrot,
} from './simulator/parrot.ts';
import { readWav } from './simulator/wav.ts';

const speech = (name: string) => readWav(readFileSync(new URL(`fixtures/${name}.wav`, import.meta.url)));
const question = speech('question');
const interruption = speech('interruption');
const greeting = speech('greeting');
const pause = (ms: number) => new Uint8Array(ms * 8).fill(SILENCE);
const pcmu = { format: { type: 'audio/pcmu' } };
const update = (audio: JsonObject) => ({ type: 'session.update', session: { type: 'realtime', audio } });
const telephone = update({ input: pcmu, output: pcmu });

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function parrotThat(options: ParrotOptions = {}): Promise<Parrot> {
  const parrot = await startParrot({ pace: 1000, thinkMs: 0, updateMs: 0, greeting, ...options });
  closing.push(() => parrot.close());
  return parrot;
}

const parrotWith = (failure: Failure) => parrotThat({ fail: () => failure });

/** A client that reads what it is sent in order, and never misses any of it. */
class Client {
  readonly ws: WebSocket;
  events: JsonObject[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  #read = 0;
  #wake: () => void = () => undefined;

  constructor(
    parrot: Parrot,
    query = '?model=gpt-realtime-2.1',
    headers: Record<string, string> = {},
    handshakeTimeout = 10_000,
  ) {
    this.ws = new WebSocket(`${parrot.url}${query}`, { headers, handshakeTimeout });
    this.ws.on('error', () => undefined);
    this.ws.on('message', (data) => {
      this.events.push(JSON.parse(String(data)));
      this.#wake();
    });
    this.closed = new Promise((resolve) => {
      this.ws.on('close', (code, reason) => resolve({ code, reason: String(reason) }));
    });
    closing.push(() => this.ws.terminate());
  }

  send(...events: object[]): void {
    for (const event of events) this.ws.send(JSON.stringify(event));
  }

  say(...audio: Uint8Array[]): void {
    this.send({ type: 'input_audio_buffer.append', audio: Buffer.concat(audio).toString('base64') });
  }

  /** The next event of `type`, and all that came before it. */
  async until(type: string): Promise<JsonObject> {
    for (;;) {
      const event = this.events[this.#read];
      if (event === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      } else {
        this.#read += 1;
        if (event.type === type) return event;
      }
    }
  }

  forget(): void {
    this.events = [];
    this.#read = 0;
  }

  types(): unknown[] {
    return this.events.map(({ type }) => type);
  }

  spoken(): Buffer {
    const deltas = this.events.filter(({ type }) => type === 'response.output_audio.delta');
    return Buffer.concat(deltas.map(({ delta }) => Buffer.from(String(delta), 'base64')));
  }
}

async function connected(parrot: Parrot): Promise<Client> {
  const client = new Client(parrot);
  await client.until('session.created');
  return client;
}

/** A client whose session is for the telephone, with `input` besides. */
async function callerOf(parrot: Parrot, input: JsonObject = {}): Promise<Client> {
  const client = await connected(parrot);
  client.send(update({ input: { ...pcmu, ...input }, output: pcmu }));
  await client.until('session.updated');
  client.forget();
  return client;
}

/** The session whose turn it is to be asked about: the newest. */
function sessionOf(parrot: Parrot) {
  const session = parrot.sessions.at(-1);
  if (session === undefined) throw new Error('nobody has called');
  return session;
}

const head = ['response.output_item.added', 'conversation.item.added', 'response.content_part.added'];
const tail = [
  'response.output_audio.done',
  'response.output_audio_transcript.done',
  'response.content_part.done',
  'conversation.item.done',
  'response.output_item.done',
  'response.done',
];
const turn = [
  'input_audio_buffer.speech_started',
  'input_audio_buffer.speech_stopped',
  'input_audio_buffer.committed',
  'conversation.item.added',
  'conversation.item.done',
];
const isDelta = (type: unknown) => /_(audio|transcript)\.delta$/.test(String(type));

describe('connecting', () => {
  it('begins with a session for PCM, and keeps what the client brought', async () => {
    const parrot = await parrotThat({ apiKey: 'sk-right', models: ['gpt-realtime-2.1'] });
    const client = new Client(parrot, undefined, { authorization: 'Bearer sk-right' });
    expect(await client.until('session.created')).toMatchObject({
      event_id: expect.stringMatching(/^event_\w{21}$/),
      session: {
        model: 'gpt-realtime-2.1',
        audio: { output: { format: { type: 'audio/pcm', rate: 24_000 } } },
      },
    });
    expect(sessionOf(parrot)).toMatchObject({
      number: 1,
      model: 'gpt-realtime-2.1',
      headers: { authorization: 'Bearer sk-right' },
    });
  });

  it.each([
    ['a wrong key', '?model=m', { authorization: 'Bearer sk-wrong' }, 3000, 'invalid_api_key'],
    ['no key', '?model=m', {}, 3000, 'invalid_api_key'],
    ['the beta header', '?model=m', { 'openai-beta': 'realtime=v1' }, 4000, 'beta_api_shape_disabled'],
    ['no model', '', {}, 4000, 'missing_model'],
    ['an unknown model', '?model=gpt-5', {}, 4004, 'model_not_found'],
  ])('refuses %s after the 101, with one error and a close', async (_, query, headers, code, problem) => {
    const parrot = await parrotThat({
      models: ['m'],
      ...(problem === 'invalid_api_key' && { apiKey: 'sk-right' }),
    });
    const client = new Client(parrot, query, headers);
    expect(await client.closed).toEqual({ code, reason: `invalid_request_error.${problem}` });
    expect(client.events).toMatchObject([{ type: 'error', error: { code: problem, event_id: null } }]);
    expect(parrot.sessions).toEqual([]);
  });

  it('pings', async () => {
    const client = new Client(await parrotThat({ pingMs: 5 }));
    await once(client.ws, 'ping');
    await once(client.ws, 'ping');
  });

  it('ends a session that has lasted too long', async () => {
    const client = new Client(await parrotThat({ maxSessionMs: 20 }));
    expect(await client.closed).toEqual({
      code: 1001,
      reason: 'Your session hit the maximum duration of 60 minutes.',
    });
    expect(client.events.at(-1)).toMatchObject({ type: 'error', error: { code: 'session_expired' } });
  });
});

describe('a turn', () => {
  it('is answered with its own words, in the order of the recorded sessions', async () => {
    const parrot = await parrotThat();
    const caller = await callerOf(parrot);
    caller.say(pause(500), question, pause(1000));
    const done = await caller.until('response.done');
    await caller.until('rate_limits.updated');

    expect(caller.types().filter((type) => !isDelta(type))).toEqual([
      ...turn,
      'response.created',
      ...head,
      ...tail,
      'rate_limits.updated',
    ]);
    expect(question.length - caller.spoken().length).toBeLessThan(60 * 8);
    expect(Buffer.from(question).includes(caller.spoken().subarray(160, -160))).toBe(true);

    const deltas = caller.types().filter(isDelta);
    expect(deltas.slice(0, 3)).toEqual([
      'response.output_audio_transcript.delta',
      'response.output_audio.delta',
      'response.output_audio_transcript.delta',
    ]);
    const audio = caller.events.filter(({ type }) => type === 'response.output_audio.delta');
    const sizes = audio.map(({ delta }) => Buffer.from(String(delta), 'base64').length);
    expect(sizes.slice(0, 5)).toEqual([800, 1200, 2000, 2000, 2000]);

    const [user, assistant] = sessionOf(parrot).items;
    expect(user).toMatchObject({ role: 'user', audioMs: caller.spoken().length / 8 });
    expect(assistant).toMatchObject({ role: 'assistant', audioMs: Math.floor(caller.spoken().length / 8) });
    expect(caller.events[2]).toMatchObject({ previous_item_id: null, item_id: user?.id });
    expect(done).toMatchObject({
      response: {
        status: 'completed',
        output: [{ id: assistant?.id, status: 'completed', content: [{ type: 'output_audio' }] }],
        usage: { output_token_details: { audio_tokens: Math.ceil(caller.spoken().length / 400) } },
      },
    });
    expect(sessionOf(parrot).audio).toEqual(Buffer.concat([pause(500), question, pause(1000)]));
  });

  it('is answered in deltas of the size asked for', async () => {
    const caller = await callerOf(await parrotThat({ deltaMs: [400] }));
    caller.say(question, pause(1000));
    const { delta } = await caller.until('response.output_audio.delta');
    expect(Buffer.from(String(delta), 'base64')).toHaveLength(3200);
  });

  it('interrupts the reply before, which says nothing more', async () => {
    const events: ParrotEvent[] = [];
    const caller = await callerOf(await parrotThat({ pace: 25, onEvent: (event) => events.push(event) }));
    caller.say(question, pause(1000));
    const { response_id } = await caller.until('response.output_audio.delta');
    caller.say(interruption);
    const done = await caller.until('response.done');
    const interrupted = caller.types().lastIndexOf('input_audio_buffer.speech_started');
    expect(caller.types().slice(interrupted + 1)).toEqual(tail);
    expect(caller.events.at(-3)).toMatchObject({ item: { status: 'incomplete' } });
    expect(done).toMatchObject({
      response: {
        id: response_id,
        status: 'cancelled',
        status_details: { type: 'cancelled', reason: 'turn_detected' },
        output: [{ status: 'incomplete' }],
      },
    });
    const sentMs = caller.spoken().length / 8;
    expect(events).toContainEqual({ type: 'reply-cancelled', itemId: expect.any(String), sentMs });

    caller.forget();
    caller.say(pause(1000));
    await caller.until('response.done');
    expect(caller.types().filter((type) => !isDelta(type))).toEqual([
      ...turn.slice(1),
      'response.created',
      ...head,
      ...tail,
    ]);
    expect(caller.events.filter((event) => event.response_id === response_id)).toEqual([]);
  });

  it('cancels nothing when the reply had been generated, though not yet heard', async () => {
    const caller = await callerOf(await parrotThat());
    caller.say(question, pause(1000));
    await caller.until('rate_limits.updated');
    caller.forget();
    caller.say(interruption, pause(1000));
    await caller.until('response.done');
    expect(caller.types().slice(0, 6)).toEqual([...turn, 'response.created']);
  });

  it('waits for the reply before, where it may not interrupt', async () => {
    const turn_detection = { type: 'server_vad', interrupt_response: false };
    const caller = await callerOf(await parrotThat({ thinkMs: 20 }), { turn_detection });
    caller.say(question, pause(1000), interruption, pause(1000));
    expect(await caller.until('response.done')).toMatchObject({ response: { status: 'completed' } });
    await caller.until('response.done');
    const responses = caller.types().filter((type) => /^response\.(created|done)$/.test(String(type)));
    expect(responses).toEqual(['response.created', 'response.done', 'response.created', 'response.done']);
  });
});

describe('truncating', () => {
  const truncate = (item_id: unknown, audio_end_ms: number) => ({
    type: 'conversation.item.truncate',
    event_id: 'cut',
    item_id,
    content_index: 0,
    audio_end_ms,
  });

  it('is remembered, and confirmed after the turn that interrupted', async () => {
    const parrot = await parrotThat();
    const caller = await callerOf(parrot);
    caller.say(question, pause(1000));
    const { item_id } = await caller.until('response.output_audio.done');
    await caller.until('rate_limits.updated');
    caller.forget();
    caller.say(interruption);
    await caller.until('input_audio_buffer.speech_started');
    caller.send(truncate(item_id, 1234));
    caller.say(pause(1000));
    await caller.until('response.created');
    expect(caller.types().slice(0, 7)).toEqual([...turn, 'conversation.item.truncated', 'response.created']);
    expect(caller.events[5]).toMatchObject({ item_id, content_index: 0, audio_end_ms: 1234 });
    expect(sessionOf(parrot).truncations).toEqual([{ itemId: item_id, audioEndMs: 1234 }]);
  });

  it('is confirmed soon when nobody speaks', async () => {
    const caller = await callerOf(await parrotThat());
    caller.send({ type: 'response.create' });
    const { item_id } = await caller.until('response.output_audio.done');
    caller.send(truncate(item_id, 0));
    expect(await caller.until('conversation.item.truncated')).toMatchObject({ audio_end_ms: 0 });
  });

  it('is refused beyond what the item has, and for items without a voice', async () => {
    const parrot = await parrotThat();
    const caller = await callerOf(parrot);
    caller.say(question, pause(1000));
    const { item_id } = await caller.until('response.output_audio.done');
    const [user, assistant] = sessionOf(parrot).items;
    const has = assistant?.audioMs ?? 0;
    const voiceless = 'Only model output audio messages can be truncated';
    for (const [id, ms, message] of [
      [item_id, has + 1, `Audio content of ${has}ms is already shorter than ${has + 1}ms`],
      [user?.id, 0, voiceless],
      ['item_unknown', 0, voiceless],
    ] as const) {
      caller.send(truncate(id, ms));
      expect(await caller.until('error')).toMatchObject({
        error: { code: 'invalid_value', message, event_id: 'cut' },
      });
    }
    caller.send(truncate(item_id, 0.5));
    expect(await caller.until('error')).toMatchObject({ error: { param: 'audio_end_ms' } });
    expect(sessionOf(parrot).truncations).toEqual([]);
  });
});

describe('asking for a response', () => {
  it('gives the greeting at first, and the last words once there are some', async () => {
    const caller = await callerOf(await parrotThat());
    caller.send({
      type: 'response.create',
      response: { instructions: 'Greet.', metadata: { why: 'hello' } },
    });
    expect(await caller.until('response.created')).toMatchObject({
      response: { metadata: { why: 'hello' } },
    });
    await caller.until('response.done');
    expect(caller.spoken()).toEqual(Buffer.from(greeting));

    caller.say(question, pause(1000));
    await caller.until('response.done');
    const words = caller.spoken().subarray(greeting.length);
    caller.forget();
    caller.send({ type: 'response.create' });
    await caller.until('response.done');
    expect(caller.spoken()).toEqual(words);
  });

  it('is refused while there is one', async () => {
    const caller = await callerOf(await parrotThat());
    caller.send({ type: 'response.create' }, { type: 'response.create', event_id: 'again' });
    expect(await caller.until('error')).toMatchObject({
      error: { code: 'conversation_already_has_active_response', event_id: 'again' },
    });
  });

  it('can be taken back, until it is done', async () => {
    const caller = await callerOf(await parrotThat({ pace: 1 }));
    caller.send({ type: 'response.create' });
    await caller.until('response.output_audio.delta');
    caller.send({ type: 'response.cancel' }, { type: 'response.cancel' });
    expect(await caller.until('response.done')).toMatchObject({
      response: { status: 'cancelled', status_details: { reason: 'client_cancelled' } },
    });
    expect(await caller.until('error')).toMatchObject({ error: { code: 'response_cancel_not_active' } });
  });
});

describe('what a client must not do', () => {
  it.each([
    ['a binary frame', Buffer.from('{}'), { code: 'invalid_event' }],
    ['bad JSON', '{', { code: 'invalid_json' }],
    [
      'an unknown type',
      '{"type":"nope","event_id":"e1"}',
      { code: 'invalid_value', param: 'type', event_id: 'e1' },
    ],
    ['audio that is not base64', '{"type":"input_audio_buffer.append","audio":"*"}', { param: 'audio' }],
    [
      'a commit of nothing',
      '{"type":"input_audio_buffer.commit"}',
      { code: 'input_audio_buffer_commit_empty', message: expect.stringContaining('0.00ms') },
    ],
    [
      'an update with a made-up field',
      '{"type":"session.update","event_id":"e2","session":{"type":"realtime","temperature":1}}',
      { code: 'unknown_parameter', param: 'session.temperature', event_id: 'e2' },
    ],
  ])('is told of %s, and the session goes on', async (_, frame, error) => {
    const caller = await callerOf(await parrotThat());
    caller.ws.send(frame);
    expect(await caller.until('error')).toMatchObject({ error });
    caller.send({ type: 'input_audio_buffer.clear' });
    await caller.until('input_audio_buffer.cleared');
  });

  it('is recorded when it sends audio before the session is ready', async () => {
    const parrot = await parrotThat();
    const client = await connected(parrot);
    client.say(question, pause(1000));
    client.send(telephone);
    await client.until('session.updated');
    client.say(pause(20));
    client.send({ type: 'input_audio_buffer.clear' });
    await client.until('input_audio_buffer.cleared');
    expect(sessionOf(parrot)).toMatchObject({ audioBeforeReady: 1, audio: Buffer.from(pause(20)) });
    expect(sessionOf(parrot).receivedTypes).toEqual([
      'input_audio_buffer.append',
      'session.update',
      'input_audio_buffer.append',
      'input_audio_buffer.clear',
    ]);
  });

  it('may not change the voice once it was heard', async () => {
    const caller = await callerOf(await parrotThat());
    caller.send({ type: 'response.create' });
    await caller.until('response.done');
    caller.send(update({ output: { voice: 'cedar' } }));
    expect(await caller.until('error')).toMatchObject({ error: { code: 'cannot_update_voice' } });
  });
});

describe('a conversation without turn detection', () => {
  it('takes a turn when it is committed, and answers when it is asked', async () => {
    const caller = await callerOf(await parrotThat(), { turn_detection: null });
    caller.say(question);
    caller.send({ type: 'input_audio_buffer.commit' }, { type: 'response.create' });
    await caller.until('response.done');
    expect(caller.types().slice(0, 4)).toEqual([...turn.slice(2), 'response.created']);
    expect(caller.spoken()).toEqual(Buffer.from(question));
  });
});

describe('going wrong', () => {
  it('answers the handshake with another status', async () => {
    const client = new Client(await parrotWith({ type: 'http', status: 429 }));
    const [, response] = await once(client.ws, 'unexpected-response');
    expect(response.statusCode).toBe(429);
  });

  it('leaves the handshake unanswered, until the client gives up', async () => {
    const parrot = await parrotWith({ type: 'hang' });
    const client = new Client(parrot, undefined, {}, 100);
    const [error] = await once(client.ws, 'error');
    expect(error.message).toBe('Opening handshake has timed out');
    expect(parrot.connections).toBe(1);
  });

  it('says nothing at all', async () => {
    const parrot = await parrotWith({ type: 'stall' });
    const client = new Client(parrot);
    await once(client.ws, 'open');
    client.send(telephone, { type: 'nope' });
    client.ws.ping();
    await once(client.ws, 'pong');
    expect(sessionOf(parrot).received).toHaveLength(2);
    expect(client.events).toEqual([]);
  });

  const pcm = { input: { format: { type: 'audio/pcm' } }, output: { format: { type: 'audio/pcm' } } };
  it.each<['no-update' | 'reject-update' | 'wrong-format', JsonObject[]]>([
    ['no-update', []],
    ['reject-update', [{ type: 'error' }]],
    ['wrong-format', [{ type: 'session.updated', session: { audio: pcm } }]],
  ])('goes on in PCM after the update: %s', async (type, told) => {
    const parrot = await parrotWith({ type });
    const client = await connected(parrot);
    client.send(telephone, { type: 'response.create' });
    await client.until('response.done');
    const answers = client.events.filter(({ type }) => /^(session\.updated|error)$/.test(String(type)));
    expect(answers).toMatchObject(told);
    expect(sessionOf(parrot).config).toMatchObject({ audio: pcm });
  });

  it('closes right after the 101', async () => {
    const error = { code: 'server_error', message: 'Sorry' };
    const client = new Client(await parrotWith({ type: 'close', code: 1011, reason: 'sorry', error }));
    expect(await client.closed).toEqual({ code: 1011, reason: 'sorry' });
    expect(client.events).toMatchObject([{ type: 'error', error }]);
  });

  it('fails as many responses as it was told, with nothing between created and done', async () => {
    const error = { code: 'insufficient_quota', message: 'You exceeded your current quota.' };
    const caller = await callerOf(await parrotWith({ type: 'response-failed', times: 1, error }));
    caller.send({ type: 'response.create' });
    expect(await caller.until('response.done')).toMatchObject({
      response: { status: 'failed', status_details: { type: 'failed', error }, output: [] },
    });
    expect(caller.types()).toEqual(['response.created', 'response.done']);
    caller.send({ type: 'response.create' });
    expect(await caller.until('response.done')).toMatchObject({ response: { status: 'completed' } });
  });

  it.each<[Failure, number]>([
    [{ type: 'close-mid-reply', code: 1011 }, 1011],
    [{ type: 'reset-mid-reply' }, 1006],
  ])('ends in the middle of a reply: %j', async (failure, code) => {
    const parrot = await parrotWith(failure);
    const caller = await callerOf(parrot);
    caller.send({ type: 'response.create' });
    expect(await caller.closed).toMatchObject({ code });
    expect(caller.types()).not.toContain('response.done');
  });

  it('takes a turn but never replies', async () => {
    const caller = await callerOf(await parrotWith({ type: 'mute' }));
    caller.say(question, pause(1000));
    caller.send({ type: 'input_audio_buffer.clear' });
    await caller.until('input_audio_buffer.cleared');
    expect(caller.types()).toEqual([...turn, 'input_audio_buffer.cleared']);
  });

  it('goes wrong on some connections only', async () => {
    const parrot = await parrotThat({ fail: (n) => (n === 1 ? { type: 'http', status: 503 } : undefined) });
    await new Client(parrot).closed;
    await connected(parrot);
    expect(parrot.connections).toBe(2);
  });
});

describe('the end', () => {
  it('of a call leaves no session, and no more is said', async () => {
    let hungUp: (event: ParrotEvent) => void = () => undefined;
    const closed = new Promise<ParrotEvent>((resolve) => {
      hungUp = resolve;
    });
    const parrot = await parrotThat({
      pace: 1,
      onEvent: (event) => event.type === 'closed' && hungUp(event),
    });
    const caller = await callerOf(parrot);
    caller.send({ type: 'response.create' });
    await caller.until('response.output_audio.delta');
    caller.ws.close(1000);
    expect(await closed).toEqual({ type: 'closed', code: 1000 });
    expect(parrot.sessions).toEqual([]);
  });

  it('of the parrot cuts everyone off', async () => {
    const parrot = await parrotThat({ pace: 1 });
    const caller = await callerOf(parrot);
    caller.send({ type: 'response.create' });
    await caller.until('response.created');
    await parrot.close();
    expect(await caller.closed).toMatchObject({ code: 1006 });
  });
});
