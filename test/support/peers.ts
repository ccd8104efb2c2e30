import { EventEmitter, once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { WebSocket, WebSocketServer } from 'ws';
import { found } from './found.ts';
import { portOf } from './port.ts';
import { audio, STREAM } from './wire.ts';

export const CALL = 'CA0123456789abcdef0123456789abcdef';

type Message = Record<string, unknown>;

/** The far end of a WebSocket of the relay: what it received, in order, and its close. */
export class Peer {
  readonly socket: WebSocket;
  readonly received: Message[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #unread: Message[] = [];
  readonly #news = new EventEmitter();
  #isClosed = false;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('message', (data) => {
      const message: Message = JSON.parse(data.toString());
      this.received.push(message);
      this.#unread.push(message);
      this.#news.emit('news');
    });
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => {
        this.#isClosed = true;
        this.#news.emit('news');
        resolve({ code, reason: reason.toString() });
      });
    });
  }

  send(...messages: Message[]): void {
    for (const message of messages) this.socket.send(JSON.stringify(message));
  }

  /** Resolves when the relay has read everything that was sent. */
  async settle(): Promise<void> {
    const read = once(this.socket, 'pong');
    this.socket.ping();
    await read;
  }

  /** Discards what was received so far. */
  forget(): void {
    this.received.length = 0;
    this.#unread.length = 0;
  }

  /** Resolves to the next unread message, of this `type` or `event` if given; skips the ones before it. */
  next(kind?: string): Promise<Message> {
    return found(this.#news, () => {
      const index = this.#unread.findIndex(({ type, event }) => [type, event, undefined].includes(kind));
      if (index === -1 && this.#isClosed) throw new Error(`closed before ${kind ?? 'a message'} came`);
      return this.#unread.splice(0, index + 1).at(-1);
    });
  }
}

/** Opens a stream as Twilio does, without its `start`. */
export async function dialStream(origin: string, headers: Record<string, string> = {}): Promise<TwilioPeer> {
  const socket = new WebSocket(`${origin.replace('http', 'ws')}/media-stream`, {
    perMessageDeflate: false,
    headers,
  });
  const peer = new TwilioPeer(socket);
  await once(socket, 'open');
  return peer;
}

export class TwilioPeer extends Peer {
  start(callSid = CALL, token?: string, call?: string): void {
    this.send(
      { event: 'connected', protocol: 'Call', version: '1.0.0' },
      {
        event: 'start',
        sequenceNumber: '1',
        streamSid: STREAM,
        start: {
          accountSid: 'AC0123456789abcdef0123456789abcdef',
          streamSid: STREAM,
          callSid,
          tracks: ['inbound'],
          mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 },
          customParameters: { ...(token !== undefined && { token }), ...(call !== undefined && { call }) },
        },
      },
    );
  }

  media(timestamp: number, payload = audio(20)): void {
    this.send({
      event: 'media',
      sequenceNumber: '2',
      media: { track: 'inbound', chunk: '1', timestamp: String(timestamp), payload },
      streamSid: STREAM,
    });
  }

  stop(): void {
    this.send({
      event: 'stop',
      sequenceNumber: '9',
      stop: { accountSid: 'AC0', callSid: CALL },
      streamSid: STREAM,
    });
  }
}

/** OpenAI's end of a session. */
export class OpenAIPeer extends Peer {
  readonly request: IncomingMessage;
  /** The expiry that the session announces, in s since 1970. */
  sessionExpiresAt: number | undefined;

  constructor(socket: WebSocket, request: IncomingMessage) {
    super(socket);
    this.request = request;
  }

  /** Sends session.created; resolves to the session.update that follows. */
  async begin(): Promise<Message> {
    this.send({ type: 'session.created', session: { id: 'sess_1', expires_at: this.sessionExpiresAt } });
    return this.next('session.update');
  }

  /** Begins the session and confirms it, with audio of `type`. */
  async configure(type = 'audio/pcmu'): Promise<Message> {
    const update = await this.begin();
    const format = { type };
    this.send({ type: 'session.updated', session: { audio: { input: { format }, output: { format } } } });
    return update;
  }

  /** Sends a delta of `ms` of audio. */
  say(ms: number, response_id = 'r', item_id = 'a'): void {
    this.send({ type: 'response.output_audio.delta', response_id, item_id, delta: audio(ms) });
  }
}

/** How to refuse a handshake, counted from 1: with an HTTP status, or without an answer. */
type Refuse = (handshake: number) => number | 'hang' | undefined;

/** A server in OpenAI's place; the test answers for it. */
export class FakeOpenAI {
  readonly server: WebSocketServer;
  /** The number of handshakes, refused ones included. */
  handshakes = 0;
  readonly peers: OpenAIPeer[] = [];
  /** How far its clock is ahead of the server's. */
  aheadMs = 0;
  readonly #news = new EventEmitter();
  readonly #untaken: OpenAIPeer[] = [];

  constructor(server: WebSocketServer) {
    this.server = server;
    server.on('connection', (socket, request) => {
      const peer = new OpenAIPeer(socket, request);
      this.peers.push(peer);
      this.#untaken.push(peer);
      this.#news.emit('news');
    });
  }

  static async listen(refuse: Refuse = () => undefined): Promise<FakeOpenAI> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
    const fake = new FakeOpenAI(server);
    // As OpenAI does; `ws` has no such header.
    server.on('headers', (headers) => {
      headers.push(`Date: ${new Date(Date.now() + fake.aheadMs).toUTCString()}`);
    });
    server.options.verifyClient = ({ req }, answer) => {
      fake.handshakes += 1;
      const refusal = refuse(fake.handshakes);
      if (refusal === 'hang') {
        // A socket that nobody reads never ends.
        req.socket.resume().on('end', () => req.socket.destroy());
      } else {
        answer(refusal === undefined, refusal);
      }
    };
    await once(server, 'listening');
    return fake;
  }

  get url(): string {
    return `ws://127.0.0.1:${portOf(this.server)}/v1/realtime`;
  }

  /** Resolves to the next session that is dialled. */
  dialled(): Promise<OpenAIPeer> {
    return found(this.#news, () => this.#untaken.shift());
  }

  async close(): Promise<void> {
    for (const client of this.server.clients) client.terminate();
    this.server.close();
    await once(this.server, 'close');
  }
}

/** A call to the server at `origin`, up to the request for its greeting. */
export async function readyCall(
  openai: FakeOpenAI,
  origin: string,
): Promise<{ twilio: TwilioPeer; session: OpenAIPeer }> {
  const twilio = await dialStream(origin);
  twilio.start();
  const session = await openai.dialled();
  await session.configure();
  await session.next('response.create');
  return { twilio, session };
}
