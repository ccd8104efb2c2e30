import type { IncomingHttpHeaders } from 'node:http';
import { type JsonObject, parseObject } from '../../src/wire/json.ts';
import { Conversation, type Host, type Manner, type ParrotEvent } from './conversation.ts';
import { InputBuffer } from './input-buffer.ts';
import type { Item } from './reply.ts';
import { type ApiError, defaultSession, newId, type SessionConfig, updateSession } from './session-config.ts';

/** How one connection is made to go wrong. */
export type Failure =
  | { type: 'http'; status: number }
  | { type: 'hang' }
  | { type: 'stall' }
  | { type: 'no-update' }
  | { type: 'reject-update' }
  | { type: 'wrong-format' }
  | { type: 'close'; code: number; reason: string; error?: { code: string; message: string } }
  | { type: 'response-failed'; times: number; error: { code: string; message: string } }
  | { type: 'close-mid-reply'; code: number }
  | { type: 'reset-mid-reply' }
  | { type: 'mute' };

/** The socket, as a session needs it. */
export interface Line {
  send(text: string): void;
  close(code: number, reason: string): void;
  /** Cuts the connection without a close frame. */
  reset(): void;
  onEvent(event: ParrotEvent): void;
}

const SUPPORTED =
  "'session.update', 'session.close', 'input_audio_buffer.append', 'input_audio_buffer.commit', " +
  "'input_audio_buffer.clear', 'conversation.item.create', 'conversation.item.truncate', 'response.create', and 'response.cancel'";

/** One Realtime session, from its 101 to its close: what the client did, and what it is told. */
export class ParrotSession implements Host {
  /** Which of the parrot's connections it is, from 1. */
  readonly number: number;
  readonly model: string;
  readonly headers: IncomingHttpHeaders;
  /** Every event that the client sent, in order. */
  readonly received: JsonObject[] = [];
  readonly #line: Line;
  readonly #updateMs: number;
  readonly #failure: Failure | undefined;
  readonly #conversation: Conversation;
  readonly #input: InputBuffer;
  readonly #timers = new Set<NodeJS.Timeout>();
  #config: SessionConfig;
  #ended = false;

  constructor(
    { number, model, headers }: { number: number; model: string; headers: IncomingHttpHeaders },
    manner: Manner,
    line: Line,
    failure: Failure | undefined,
  ) {
    this.number = number;
    this.model = model;
    this.headers = headers;
    this.#line = line;
    this.#updateMs = manner.updateMs;
    this.#failure = failure;
    this.#config = defaultSession(model);
    this.#conversation = new Conversation(this, manner);
    this.#input = new InputBuffer(this, this.#conversation, failure?.type !== 'mute');
    if (failure?.type === 'response-failed') this.#conversation.failReplies(failure.times, failure.error);
  }

  /** The session in effect, in its wire shape. */
  get config(): SessionConfig {
    return this.#config;
  }

  /** The mu-law that was appended once the session was ready for it. */
  get audio(): Uint8Array {
    return this.#input.audio;
  }

  /** How many appends came while the session still read them as PCM. */
  get audioBeforeReady(): number {
    return this.#input.audioBeforeReady;
  }

  /** The types of the events that the client sent, in order. */
  get receivedTypes(): unknown[] {
    return this.received.map(({ type }) => type);
  }

  /** The conversation's items, with how much audio each has. */
  get items(): readonly Item[] {
    return [...this.#conversation.items.values()];
  }

  /** The truncations that were accepted, in order. */
  get truncations(): readonly { itemId: string; audioEndMs: number }[] {
    return this.#conversation.truncations;
  }

  /** Sends session.created. */
  start(): void {
    this.send({ type: 'session.created', session: this.#config });
  }

  /** Sends an event with an id, unless the session has ended. */
  send(event: JsonObject): void {
    if (this.#ended) return;
    const { type, ...rest } = event;
    this.#line.send(JSON.stringify({ type, event_id: newId('event'), ...rest }));
    if (type !== 'response.output_audio.delta') return;
    if (this.#failure?.type === 'close-mid-reply') this.#line.close(this.#failure.code, '');
    if (this.#failure?.type === 'reset-mid-reply') this.#line.reset();
  }

  /** Sends an error event, which by itself ends nothing; `cause` is the id of the client's event. */
  sendError({ code, message, param = null }: ApiError, cause: unknown = null): void {
    const type = 'invalid_request_error';
    this.send({ type: 'error', error: { type, code, message, param, event_id: cause } });
    this.report({ type: 'error', code, message });
  }

  /** Tells whoever watches. */
  report(event: ParrotEvent): void {
    this.#line.onEvent(event);
  }

  /** Runs `action` in `ms`, unless the session has ended by then. */
  later(ms: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    this.#timers.add(timer);
  }

  /** Stops all timers; from here on nothing is sent or taken. */
  end(): void {
    this.#ended = true;
    this.#conversation.end();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  /** Takes one frame of the client's. */
  receive(frame: string, isBinary: boolean): void {
    if (this.#ended) return;
    if (isBinary) {
      this.sendError({ code: 'invalid_event', message: 'Expected a text frame, but got a binary one.' });
      return;
    }
    const event = parseObject(frame);
    if (event === undefined) {
      this.sendError({ code: 'invalid_json', message: 'Expected a JSON object.' });
      return;
    }
    this.received.push(event);
    const error = this.#failure?.type === 'stall' ? undefined : this.#obey(event);
    if (error !== undefined) this.sendError(error, event.event_id);
  }

  #obey(event: JsonObject): ApiError | undefined {
    switch (event.type) {
      case 'session.update':
        this.later(this.#updateMs, () => this.#update(event));
        return undefined;
      case 'session.close':
        this.#line.close(1000, '');
        return undefined;
      case 'input_audio_buffer.append':
        return this.#input.append(event.audio);
      case 'input_audio_buffer.commit':
        return this.#input.commit();
      case 'input_audio_buffer.clear':
        this.#input.clear();
        return undefined;
      case 'conversation.item.create':
        return this.#conversation.createItem(event.item);
      case 'conversation.item.truncate':
        return this.#conversation.truncate(event, this.#input.speaking);
      case 'response.create':
        return this.#conversation.createResponse(event.response);
      case 'response.cancel': {
        if (this.#conversation.cancel('client_cancelled')) return undefined;
        const message = 'Cancellation failed: no active response found';
        return { code: 'response_cancel_not_active', message };
      }
      default: {
        const message = `Invalid value: '${event.type}'. Supported values are: ${SUPPORTED}.`;
        return { code: 'invalid_value', message, param: 'type' };
      }
    }
  }

  #update({ session, event_id }: JsonObject): void {
    if (this.#failure?.type === 'no-update') return;
    const updated =
      this.#failure?.type === 'reject-update'
        ? { error: { code: 'invalid_value', message: 'The parrot rejects this update.' } }
        : updateSession(this.#config, session, this.#conversation.hasSpoken);
    if ('error' in updated) {
      this.sendError(updated.error, event_id);
      return;
    }
    if (this.#failure?.type === 'wrong-format') {
      const { input, output } = defaultSession(this.model).audio;
      updated.audio.input.format = input.format;
      updated.audio.output.format = output.format;
    }
    this.#config = updated;
    this.#input.configure(updated);
    this.send({ type: 'session.updated', session: updated });
    this.report({ type: 'session-ready' });
  }
}
