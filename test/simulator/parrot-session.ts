import { WebSocket } from 'ws';
import { BYTES_PER_MS, isAudio } from '../../src/wire/audio.ts';
import { type JsonObject, parseObject } from '../../src/wire/json.ts';
import { Conversation, type Manner, type ParrotEvent } from './conversation.ts';
import { Ear, type Heard } from './ear.ts';
import type { Item, ToolCall } from './reply.ts';
import { defaultSession, newId, type SessionConfig, updateSession } from './session-config.ts';
import { type ApiError, findFault } from './shape.ts';

const TYPES = [
  ...[
    'session.update',
    'input_audio_buffer.append',
    'conversation.item.create',
    'conversation.item.truncate',
  ],
  ...['response.create', 'response.cancel'],
];
const NOT_AN_EVENT: ApiError = {
  code: 'invalid_json',
  message: 'This parrot takes only JSON objects in text frames.',
};

/** One Realtime session, from its 101 to its close. */
export class ParrotSession {
  /** The session in effect, in its wire shape. */
  config: SessionConfig;
  /** Appends that came while the session still took PCM. */
  audioBeforeReady = 0;
  readonly report: (event: ParrotEvent) => void;
  readonly #socket: WebSocket;
  readonly #updateMs: number;
  readonly #conversation: Conversation;
  readonly #ear = new Ear();
  #turnId = '';

  constructor(socket: WebSocket, model: string, manner: Manner, report: (event: ParrotEvent) => void) {
    this.config = defaultSession(model);
    this.#socket = socket;
    this.#updateMs = manner.updateMs;
    this.report = report;
    this.#conversation = new Conversation(this, manner);
  }

  get items(): readonly Item[] {
    return this.#conversation.items;
  }

  /** The truncations that were accepted, in order. */
  get truncations(): readonly { itemId: string; audioEndMs: number }[] {
    return this.#conversation.truncations;
  }

  /** Whether it is open, and has a call. */
  get isLive(): boolean {
    return this.#socket.readyState === WebSocket.OPEN && this.#conversation.hasBegun;
  }

  /** Has the model call a tool of its own accord. */
  callTool(call: ToolCall): void {
    this.#conversation.callTool(call);
  }

  /** Sends session.created, and listens until the socket closes. */
  start(): void {
    this.#socket.on('error', () => {});
    this.#socket.on('message', (data, isBinary) => this.#receive(String(data), isBinary));
    this.#socket.on('close', (code) => {
      this.#conversation.end();
      this.report({ type: 'closed', code });
    });
    this.send({ type: 'session.created', session: this.config });
  }

  send({ type, ...rest }: JsonObject): void {
    this.#socket.send(JSON.stringify({ type, event_id: newId('event'), ...rest }));
  }

  /** Runs `action` in `ms`, unless the session has ended by then. */
  later(ms: number, action: () => void): void {
    setTimeout(() => {
      if (this.#socket.readyState === WebSocket.OPEN) action();
    }, ms);
  }

  #receive(frame: string, isBinary: boolean): void {
    const event = isBinary ? undefined : parseObject(frame);
    const error = event === undefined ? NOT_AN_EVENT : this.#obey(event);
    if (error !== undefined) this.#sendError(error, event?.event_id);
  }

  /** Sends an error, after which the session goes on; `cause` is the id of the client's event. */
  #sendError({ code, message, param = null }: ApiError, cause: unknown = null): void {
    const type = 'invalid_request_error';
    this.send({ type: 'error', error: { type, code, message, param, event_id: cause } });
    this.report({ type: 'error', message });
  }

  #obey(event: JsonObject): ApiError | undefined {
    switch (event.type) {
      case 'session.update':
        this.later(this.#updateMs, () => this.#update(event));
        return undefined;
      case 'input_audio_buffer.append':
        return this.#hear(event.audio);
      case 'conversation.item.create':
        return this.#conversation.createItem(event);
      case 'conversation.item.truncate':
        return this.#conversation.truncate(event);
      case 'response.create':
        return this.#conversation.createResponse(event.response);
      case 'response.cancel':
        return this.#conversation.cancelResponse(event);
      default:
        return findFault({ type: TYPES }, { type: event.type }, '');
    }
  }

  #update({ session, event_id }: JsonObject): void {
    const updated = updateSession(this.config, session, this.#conversation.hasSpoken);
    if ('error' in updated) {
      this.#sendError(updated.error, event_id);
      return;
    }
    this.config = updated;
    this.#ear.configure(updated.audio.input.turn_detection);
    this.send({ type: 'session.updated', session: updated });
    const tools = updated.tools.map(({ name }) => name);
    this.report({ type: 'session-ready', instructions: updated.instructions, tools });
  }

  #hear(audio: unknown): ApiError | undefined {
    if (!isAudio(audio)) {
      const message = "This parrot takes only base64 as 'audio'.";
      return { code: 'invalid_value', message, param: 'audio' };
    }
    if (this.config.audio.input.format.type === 'audio/pcmu') {
      for (const heard of this.#ear.hear(Buffer.from(audio, 'base64'))) this.#takeTurn(heard);
    } else {
      this.audioBeforeReady += 1;
    }
    return undefined;
  }

  #takeTurn(heard: Heard): void {
    if (heard.type === 'started') {
      this.#turnId = newId('item');
      const times = { audio_start_ms: heard.audioStartMs, item_id: this.#turnId };
      this.send({ type: 'input_audio_buffer.speech_started', ...times });
      this.report({ type: 'speech-started' });
      this.#conversation.interrupt();
      return;
    }
    const times = { audio_end_ms: heard.audioEndMs, item_id: this.#turnId };
    this.send({ type: 'input_audio_buffer.speech_stopped', ...times });
    this.report({ type: 'speech-stopped', turnMs: heard.words.length / BYTES_PER_MS });
    this.#conversation.addTurn(this.#turnId, heard.words);
    const error = this.#conversation.createResponse();
    if (error !== undefined) this.#sendError(error);
  }
}
