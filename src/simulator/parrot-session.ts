import type { IncomingHttpHeaders } from 'node:http';
import { isBase64, type JsonObject, parseObject } from '../json.ts';
import { Conversation, type Host, type Manner, type ParrotEvent } from './conversation.ts';
import { Ear, type Heard } from './ear.ts';
import type { Item } from './reply.ts';
import {
  type ApiError,
  defaultSession,
  newId,
  type SessionConfig,
  updateSession,
  voiceActivity,
} from './session-config.ts';

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

const MIN_COMMIT_MS = 100;
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
  /** How many appends came while the session still read them as PCM. */
  audioBeforeReady = 0;
  readonly #line: Line;
  readonly #updateMs: number;
  readonly #failure: Failure | undefined;
  readonly #conversation: Conversation;
  readonly #ear: Ear;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #appended: Uint8Array[] = [];
  #config: SessionConfig;
  #turnId = '';
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
    this.#ear = new Ear(voiceActivity(this.#config));
    this.#conversation = new Conversation(this, manner);
    if (failure?.type === 'response-failed') this.#conversation.failReplies(failure.times, failure.error);
  }

  /** The session in effect, in its wire shape. */
  get config(): SessionConfig {
    return this.#config;
  }

  /** The mu-law that was appended once the session was ready for it. */
  get audio(): Uint8Array {
    return Buffer.concat(this.#appended);
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
        return this.#append(event.audio);
      case 'input_audio_buffer.commit':
        return this.#commit();
      case 'input_audio_buffer.clear':
        this.#ear.take();
        this.send({ type: 'input_audio_buffer.cleared' });
        return undefined;
      case 'conversation.item.create':
        return this.#conversation.createItem(event.item);
      case 'conversation.item.truncate':
        return this.#conversation.truncate(event, this.#ear.speaking);
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
    this.#ear.vad = voiceActivity(updated);
    this.send({ type: 'session.updated', session: updated });
    this.report({ type: 'session-ready' });
  }

  #append(audio: unknown): ApiError | undefined {
    if (!isBase64(audio)) {
      const message = "Invalid 'audio'. Expected base64-encoded audio bytes.";
      return { code: 'invalid_value', message, param: 'audio' };
    }
    if (this.#config.audio.input.format.type !== 'audio/pcmu') {
      this.audioBeforeReady += 1;
      return undefined;
    }
    const bytes = Buffer.from(audio, 'base64');
    this.#appended.push(bytes);
    for (const heard of this.#ear.hear(bytes)) this.#notice(heard);
    return undefined;
  }

  #notice(heard: Heard): void {
    const turns = this.#config.audio.input.turn_detection;
    if (heard.type === 'started') {
      const { audioStartMs } = heard;
      this.#turnId = newId('item');
      const times = { audio_start_ms: audioStartMs, item_id: this.#turnId };
      this.send({ type: 'input_audio_buffer.speech_started', ...times });
      this.report({ type: 'speech-started', audioStartMs });
      if (turns?.interrupt_response !== false) this.#conversation.cancel('turn_detected');
      return;
    }
    const { audioEndMs, words } = heard;
    const times = { audio_end_ms: audioEndMs, item_id: this.#turnId };
    this.send({ type: 'input_audio_buffer.speech_stopped', ...times });
    this.report({ type: 'speech-stopped', audioEndMs, turnMs: words.length / 8 });
    this.#conversation.addTurn(this.#turnId, words);
    if (turns?.create_response !== false && this.#failure?.type !== 'mute') this.#conversation.answer(words);
  }

  #commit(): ApiError | undefined {
    const words = this.#ear.take();
    const ms = words.length / 8;
    if (ms < MIN_COMMIT_MS) {
      const message = `Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but buffer only has ${ms.toFixed(2)}ms of audio.`;
      return { code: 'input_audio_buffer_commit_empty', message };
    }
    this.#conversation.addTurn(newId('item'), words);
    return undefined;
  }
}
