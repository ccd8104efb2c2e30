import type { IncomingMessage } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import type { FastifyBaseLogger } from 'fastify';
import { WebSocket } from 'ws';
import type { Config } from '../config.ts';
import type { Persona } from '../contract.ts';
import { type Failure, parseRetryAfter, type Reason } from '../failure.ts';
import { after, running } from '../timers.ts';
import { asText, parseObject } from '../wire/json.ts';
import { errorText, withoutKey } from '../wire/loggable.ts';
import {
  type ClientEvent,
  encodeClientEvent,
  type OpenAIError,
  parseError,
  parseServerEvent,
  type ServerEvent,
} from '../wire/openai.ts';
import { type Close, dialOptions, isStalled, TEXT, untilClosed, watch } from '../wire/socket.ts';
import { sessionUpdate } from './session-update.ts';

/** Time from dialling until the session is ready, in ms. */
export const READY_MS = 10_000;
/** Time for the handshake, in ms; 0.8 to 2.1 s is usual. */
const HANDSHAKE_MS = 4_000;
/** Time for the close after an error, and for the body of a rejected handshake, in ms. */
const CLOSE_MS = 500;
const MAX_BODY_CHARACTERS = 10_000;
/** The longest message accepted, in bytes; audio deltas have a few thousand. */
const MAX_MESSAGE_BYTES = 4_194_304;
/** OpenAI's limit for a session, and how long before its end a call switches to another one, in ms. */
export const MAX_SESSION_MS = 3_600_000;
export const LEAVE_MS = 300_000;
const MAX_ERRORS_LOGGED = 20;

/** Callbacks for a session's events. */
export interface SessionListener {
  /** Called when the session is configured and takes audio. */
  ready?(): void;
  /** Called for each event after that. */
  event?(event: ServerEvent): void;
  /** Called when OpenAI has begun to close the session: `failed` will follow. May be called more than once. */
  closing?(): void;
  /** Called when the session is over, unless `close` was called. Nothing follows. */
  failed(failure: Failure): void;
}

/**
 * One socket to the Realtime API, configured for a telephone. It never dials again.
 *
 *     dialling ── session.created ─▶ configuring ── session.updated ─▶ ready ──▶ over
 *        └────────── error ─▶ rejected ── close, or 0.5 s ──────────────────────▶ over
 *
 * OpenAI checks the key and the model after the handshake: only `session.created` proves them good.
 */
export class Session {
  /** OpenAI's name for the session, once known. */
  id: string | undefined;
  /** When OpenAI ends the session, by `performance.now()`; known once it is ready. */
  expiresAt = 0;
  /** When OpenAI was last heard, a `pong` included, by `running()`. */
  heardAt = running();
  /** Messages that could not be read. */
  ignored = 0;
  readonly closed: Promise<Close>;
  readonly #socket: WebSocket;
  readonly #apiKey: string;
  #update: ClientEvent;
  /** Whether a later update is still to be confirmed. */
  #isUpdating = false;
  #log: FastifyBaseLogger;
  #listener: SessionListener;
  #state: 'dialling' | 'rejected' | 'configuring' | 'ready' | 'over' = 'dialling';
  #cancelDeadline = () => {};
  /** What is known of a failure so far. */
  #failure: Omit<Failure, 'reason'> = {};
  /** When OpenAI answered the handshake, by its own clock; NaN if unknown. */
  #openedAt = Number.NaN;
  #errorsLogged = 0;

  /** Dials; the session fails if it isn't ready within `readyMs`. */
  constructor(
    { realtimeUrl, model, openaiApiKey }: Config,
    persona: Persona,
    log: FastifyBaseLogger,
    listener: SessionListener,
    readyMs = READY_MS,
  ) {
    this.#apiKey = openaiApiKey;
    this.#update = sessionUpdate(persona);
    this.#log = log;
    this.#listener = listener;
    this.#failIn(readyMs, 'not ready in time');
    const url = new URL(realtimeUrl);
    url.searchParams.set('model', model);
    const socket = new WebSocket(url, {
      ...dialOptions(url),
      handshakeTimeout: HANDSHAKE_MS,
      maxPayload: MAX_MESSAGE_BYTES,
      headers: { Authorization: `Bearer ${openaiApiKey}` },
    });
    this.#socket = socket;
    socket.on('upgrade', ({ socket: tcp, headers }) => {
      this.#openedAt = Date.parse(headers.date ?? '');
      watch(socket, tcp, 'pong', () => this.#fail('openai silent'));
    });
    socket.on('unexpected-response', (_request, response) => this.#handshakeRejected(response));
    socket.on('pong', () => {
      this.heardAt = running();
    });
    socket.on('message', (data, isBinary) => {
      this.heardAt = running();
      const event = isBinary || !Buffer.isBuffer(data) ? undefined : parseServerEvent(data, openaiApiKey);
      if (event === undefined) this.ignored += 1;
      else this.#received(event);
    });
    // A close always follows.
    socket.on('error', (error) => {
      const code = 'code' in error ? asText(error.code) : undefined;
      const message = withoutKey(errorText(error), openaiApiKey);
      // It says less than OpenAI's error, and nothing new after a rejected handshake.
      if (this.#failure.httpStatus === undefined) this.#failure.error ??= { code, message };
    });
    this.closed = untilClosed(socket, (reason) => withoutKey(reason, openaiApiKey));
    void this.closed.then((closed) => {
      this.#fail(this.#state === 'ready' ? 'openai closed' : 'dialling failed', closed);
    });
  }

  /** Whether it takes audio; false once OpenAI has begun to close it. */
  get isReady(): boolean {
    return this.#state === 'ready' && this.#socket.readyState === WebSocket.OPEN;
  }

  /** Gives a ready session to a call, with its persona, listener and log. Calls `ready` at once. */
  handOver(persona: Persona, listener: SessionListener, log: FastifyBaseLogger): void {
    this.#listener = listener;
    this.#log = log;
    const update = sessionUpdate(persona);
    // OpenAI handles events in order: others may follow the update at once.
    this.#isUpdating = !isDeepStrictEqual(update, this.#update);
    if (this.#isUpdating) this.send(update);
    this.#update = update;
    listener.ready?.();
  }

  /** Sends `event` if the session is ready. */
  send(event: ClientEvent): void {
    if (this.#state !== 'ready') return;
    if (this.#socket.readyState !== WebSocket.OPEN) return this.#listener.closing?.();
    this.#socket.send(encodeClientEvent(event), TEXT);
    if (isStalled(this.#socket)) this.#fail('openai stalled');
  }

  close(): void {
    this.#state = 'over';
    this.#cancelDeadline();
    this.#socket.close(1000);
  }

  #received(event: ServerEvent): void {
    // What OpenAI goes on after is not why it ends.
    this.#failure.error = event.type === 'error' ? event.error : undefined;
    switch (this.#state) {
      case 'dialling':
        if (event.type === 'session.created') this.#configure(event.session.id, event.session.expiresAt);
        if (event.type === 'error') {
          // A wrong key or model: a close should follow, and say more.
          this.#state = 'rejected';
          this.#failIn(CLOSE_MS, 'openai error');
        }
        return;
      case 'configuring':
        return this.#configured(event);
      case 'ready':
        return this.#receivedReady(event);
    }
  }

  #configure(id: string, expiresAt = Infinity): void {
    // By OpenAI's own clock: this machine's may be wrong.
    const lastsMs = expiresAt - this.#openedAt;
    this.id = id;
    this.expiresAt = performance.now() + (lastsMs > 0 ? Math.min(lastsMs, MAX_SESSION_MS) : MAX_SESSION_MS);
    this.#state = 'configuring';
    this.#socket.send(encodeClientEvent(this.#update), TEXT);
  }

  #configured(event: ServerEvent): void {
    // A rejected update is discarded whole: the session would take mu-law for PCM.
    if (event.type === 'error') return this.#fail('session.update rejected');
    if (event.type !== 'session.updated') return;
    if (!event.isForPhone) return this.#fail('session not audio/pcmu');
    this.#state = 'ready';
    this.#cancelDeadline();
    this.#listener.ready?.();
  }

  #receivedReady(event: ServerEvent): void {
    if (event.type === 'session.updated') this.#isUpdating = false;
    if (event.type === 'error') {
      this.#logError('openai error', event.error);
      const isOfUpdate = this.#isUpdating && (event.error.param ?? 'session').startsWith('session');
      if (isOfUpdate) return this.#fail('session.update rejected');
    }
    if (event.type === 'response.done') {
      const { status, error } = event.response;
      if (status === 'failed') this.#logError('response failed', error);
      if (status === 'incomplete') this.#logError('response incomplete', error);
    }
    this.#listener.event?.(event);
  }

  #logError(message: string, error: OpenAIError | undefined): void {
    this.#errorsLogged += 1;
    if (this.#errorsLogged <= MAX_ERRORS_LOGGED) this.#log.warn({ sessionId: this.id, error }, message);
  }

  /** Called when OpenAI answers the handshake with another status than 101: the body may hold its error. */
  #handshakeRejected(response: IncomingMessage): void {
    const { statusCode, headers } = response;
    const retryAfterMs = parseRetryAfter(headers['retry-after']);
    this.#failure = { httpStatus: statusCode, retryAfterMs };
    let body = '';
    const timer = setTimeout(() => response.destroy(), CLOSE_MS);
    response.setEncoding('utf8');
    response.on('data', (text: string) => {
      body += text;
      if (body.length > MAX_BODY_CHARACTERS) response.destroy();
    });
    response.on('error', () => {});
    response.on('close', () => {
      clearTimeout(timer);
      this.#failure.error = parseError(parseObject(body)?.error, this.#apiKey);
      this.#socket.terminate();
    });
  }

  #failIn(ms: number, reason: Reason): void {
    this.#cancelDeadline();
    this.#cancelDeadline = after(ms, () => this.#fail(reason));
  }

  #fail(reason: Reason, closed?: Close): void {
    if (this.#state === 'over') return;
    this.close();
    this.#listener.failed({ reason, closed, ...this.#failure });
  }
}
