import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { SILENCE } from '../../src/wire/audio.ts';
import { Peer } from '../support/peers.ts';
import { type ParrotEvent, type ParrotOptions, startParrot } from './parrot.ts';
import { recording } from './recording.ts';

export const question = recording('question');
export const pause = (ms: number) => new Uint8Array(8 * ms).fill(SILENCE);
const audio = (ms: number, byte: number) => new Uint8Array(8 * ms).fill(byte);
export const [greeting, goodbye, answer] = [audio(300, 1), audio(800, 2), audio(200, 3)];
const onKeys = {
  12: { tool: 'get_time', args: { city: 'Oslo' }, answer },
  9: { tool: 'hang_up', args: {}, says: goodbye },
  0: { tool: 'dance', args: {} },
};
const pcmu = { format: { type: 'audio/pcmu' } };
const transcription = { model: 'gpt-realtime-whisper', language: 'en' };
const turn_detection = { type: 'server_vad', silence_duration_ms: 300 };
const tools = ['get_time', 'hang_up'].map((name) => {
  return { type: 'function', name, description: name, parameters: { type: 'object' } };
});
export const UPDATE = {
  type: 'session.update',
  session: {
    ...{ type: 'realtime', instructions: 'Book.', tools },
    audio: { input: { ...pcmu, transcription, turn_detection }, output: pcmu },
  },
};

/** The client's end of a session. */
class Client extends Peer {
  say(...audio: Uint8Array[]): void {
    this.send({ type: 'input_audio_buffer.append', audio: Buffer.concat(audio).toString('base64') });
  }

  /** The next response that is done. */
  async done(): Promise<Record<string, unknown>> {
    return Object((await this.next('response.done')).response);
  }

  respond(): Promise<Record<string, unknown>> {
    this.send({ type: 'response.create' });
    return this.done();
  }

  types(): unknown[] {
    return this.received.map(({ type }) => type).filter((type) => !/\.delta$/.test(String(type)));
  }

  deltas(): Buffer[] {
    const deltas = this.received.filter(({ type }) => type === 'response.output_audio.delta');
    return deltas.map(({ delta }) => Buffer.from(String(delta), 'base64'));
  }
}

/** A parrot that speaks at once, unless `options` say otherwise, and a client whose session is ready. */
export async function call(options: Partial<ParrotOptions> = {}, isReady = true) {
  const events: ParrotEvent[] = [];
  const onEvent = (event: ParrotEvent) => events.push(event);
  const quick = { pace: 1000, thinkMs: 0, updateMs: 0 };
  const parrot = await startParrot({ ...quick, greeting, onKeys, onEvent, ...options });
  onTestFinished(() => parrot.close());
  const client = new Client(new WebSocket(`${parrot.url}?model=gpt-realtime-2.1`));
  await client.next('session.created');
  if (isReady) client.send(UPDATE);
  if (isReady) await client.next('session.updated');
  client.forget();
  events.length = 0;
  const [session] = parrot.sessions;
  if (session === undefined) throw new Error('no session');
  return { parrot, client, session, events };
}

export const create = (item: unknown) => ({ type: 'conversation.item.create', item });
export const message = (text: string, role = 'user') => {
  return { type: 'message', role, content: [{ type: 'input_text', text }] };
};
export const pressed = (digits: string) => create(message(`(The caller pressed ${digits} on the keypad.)`));
export const output = (call_id: unknown) => ({ type: 'function_call_output', call_id, output: '"12:00"' });
export const truncate = (item_id: unknown, audio_end_ms: number) => {
  return { type: 'conversation.item.truncate', event_id: 'cut', item_id, content_index: 0, audio_end_ms };
};

export const TURN = [
  ...['input_audio_buffer.speech_started', 'input_audio_buffer.speech_stopped'],
  ...['input_audio_buffer.committed', 'conversation.item.added', 'conversation.item.done'],
];
export const ITEM = ['response.output_item.added', 'conversation.item.added'];
export const SPOKEN = [
  ...['response.output_audio.done', 'response.output_audio_transcript.done', 'response.content_part.done'],
  ...['conversation.item.done', 'response.output_item.done'],
];
export const CALLED = ['response.function_call_arguments.done', ...SPOKEN.slice(-2)];
