import { randomBytes } from 'node:crypto';
import { type RawData, WebSocket } from 'ws';
import { audio } from '../support/wire.ts';
import type { Server } from './server.ts';

// Both ends of a call. They put their messages together from strings that are ready, and read them without parsing: what
// a peer takes for itself shows in the latencies.

/** How much audio is in a frame of Twilio's, and in a delta of OpenAI's, in ms; and how many deltas a reply has. */
export const FRAME_MS = 20;
export const DELTA_MS = 400;
export const DELTAS_A_REPLY = 5;

/** Each payload begins with this and, in 12 digits, the time in µs: all of it is valid base64. */
const STAMP = 'SentAtUs';
const STAMP_LENGTH = STAMP.length + 12;

/** What goes one way through a server, `ms` of audio at a time: timed from one peer's send to the other's receipt. */
export class Direction {
  onTheirWay = 0;
  /** In ms, until whoever measures takes them. */
  latencies: number[] = [];
  readonly #audio: string;

  constructor(ms: number) {
    this.#audio = audio(ms).slice(STAMP_LENGTH);
  }

  /** The next payload, which must be sent at once. */
  payload(): string {
    this.onTheirWay += 1;
    return STAMP + String(Math.round(performance.now() * 1_000)).padStart(12, '0') + this.#audio;
  }

  /** How long the payload in `data`, received now, was on its way, in ms; undefined if there is none. */
  receives(data: RawData): number | undefined {
    const at = data instanceof Buffer ? data.indexOf(STAMP, 0, 'latin1') : -1;
    if (at < 0) return undefined;
    this.onTheirWay -= 1;
    const sentAt = Number(data.toString('latin1', at + STAMP.length, at + STAMP_LENGTH)) / 1_000;
    const ms = performance.now() - sentAt;
    this.latencies.push(ms);
    return ms;
  }
}

export const newCallSid = () => `CA${randomBytes(16).toString('hex')}`;

/** Twilio's end of a call. Its clock is that of its stream: 20 ms for each frame that it has sent. */
export class Phone {
  /** When it said `start`, and when it first got sound, or did again once that is set to 0, by `performance.now()`. */
  startedAt = 0;
  soundAt = 0;
  readonly #server: Server;
  readonly #streamSid: string;
  readonly #socket: WebSocket;
  readonly #echoes: { at: number; name: string }[] = [];
  #chunk = 0;
  #playedUntil = 0;

  /** Opens a stream, and starts it at once. */
  constructor(server: Server, callSid = newCallSid()) {
    this.#server = server;
    this.#streamSid = callSid.replace('CA', 'MZ');
    this.#socket = new WebSocket(`ws://${server.host}/media-stream`, { perMessageDeflate: false });
    this.#socket.on('open', () => this.#start(callSid));
    this.#socket.on('message', (data) => {
      if (server.down.receives(data) !== undefined) this.#play();
      else if (server.sendsMarks) this.#mark(data.toString());
    });
    // A close follows; what is lost with the call is missed by whoever waits for it.
    this.#socket.on('error', () => {});
  }

  /** Sends the next 20 ms, then a mark that has been played by now. */
  sendFrame(): void {
    this.#chunk += 1;
    const now = this.#chunk * FRAME_MS;
    const sequence = `"sequenceNumber":"${this.#chunk}"`;
    const stream = `"streamSid":"${this.#streamSid}"`;
    const position = `"chunk":"${this.#chunk}","timestamp":"${now}"`;
    const media = `{"track":"inbound",${position},"payload":"${this.#server.up.payload()}"}`;
    this.#socket.send(`{"event":"media",${sequence},"media":${media},${stream}}`);
    if (now < (this.#echoes[0]?.at ?? Infinity)) return;
    const mark = `{"name":"${this.#echoes.shift()?.name}"}`;
    this.#socket.send(`{"event":"mark",${sequence},${stream},"mark":${mark}}`);
  }

  hangUp(): void {
    this.#socket.close();
  }

  #start(callSid: string): void {
    const streamSid = this.#streamSid;
    const mediaFormat = { encoding: 'audio/x-mulaw', sampleRate: 8_000, channels: 1 };
    const start = { streamSid, callSid, mediaFormat, customParameters: {} };
    this.#socket.send('{"event":"connected","protocol":"Call","version":"1.0.0"}');
    this.#socket.send(JSON.stringify({ event: 'start', sequenceNumber: '1', start, streamSid }));
    this.startedAt = performance.now();
  }

  /** A delta is played when it comes, or when what came before it has ended. */
  #play(): void {
    this.soundAt ||= performance.now();
    this.#playedUntil = Math.max(this.#playedUntil, this.#chunk * FRAME_MS) + DELTA_MS;
    // A pipe sends no marks: their echoes are made up, so that every server gets the same messages.
    if (!this.#server.sendsMarks) this.#echoes.push({ at: this.#playedUntil, name: 'responsePart' });
  }

  #mark(text: string): void {
    const { event, mark } = JSON.parse(text);
    if (event === 'mark') this.#echoes.push({ at: this.#playedUntil, name: mark.name });
  }
}

/** How long OpenAI takes, in ms: to accept a socket, to acknowledge session.update, and to begin a reply. */
export interface Delays {
  accept: number;
  acknowledge: number;
  reply: number;
}

/** OpenAI's end of one call; without `delays` it takes no time, and says only what it is told to. */
export class Session {
  /** The longest that a frame was on its way, in ms, until whoever measures sets it to 0. */
  slowestMs = 0;
  readonly #socket: WebSocket;
  readonly #down: Direction;
  readonly #id = Math.random().toFixed(12).slice(2);
  /** The last reply, and how many deltas of it were sent. */
  #reply = 0;
  #part = 0;

  constructor(socket: WebSocket, up: Direction, down: Direction, delays?: Delays) {
    this.#socket = socket;
    this.#down = down;
    const format = { type: 'audio/pcmu' };
    const session = { id: `sess_${this.#id}`, audio: { input: { format }, output: { format } } };
    socket.on('error', () => {});
    socket.on('message', (data) => {
      const ms = up.receives(data);
      if (ms !== undefined) {
        this.slowestMs = Math.max(this.slowestMs, ms);
        return;
      }
      const { type } = JSON.parse(data.toString());
      if (type === 'response.create' && delays) setTimeout(() => this.say(), delays.reply);
      if (type !== 'session.update') return;
      setTimeout(() => this.#tell('session.updated', { session }), delays?.acknowledge);
    });
    this.#tell('session.created', { session });
  }

  get hasSpoken(): boolean {
    return this.#reply > 0;
  }

  lose(): void {
    this.#socket.terminate();
  }

  /** Sends the next delta, and what comes with the first and the last of a reply. */
  say(): void {
    if (this.#part === 0) {
      this.#reply += 1;
      this.#tell('response.created', { response: { id: `resp_${this.#reply}`, status: 'in_progress' } });
    }
    const ids = `"event_id":"event_${this.#reply}","response_id":"resp_${this.#reply}","item_id":"item_${this.#reply}"`;
    const rest = `"output_index":0,"content_index":0,"delta":"${this.#down.payload()}"`;
    this.#socket.send(`{"type":"response.output_audio.delta",${ids},${rest}}`);
    this.#part += 1;
    if (this.#part === DELTAS_A_REPLY) this.finish();
  }

  /** Ends the reply, however much of it was sent. */
  finish(): void {
    this.#tell('response.done', { response: { id: `resp_${this.#reply}`, status: 'completed' } });
    this.#part = 0;
  }

  #tell(type: string, rest: object): void {
    this.#socket.send(JSON.stringify({ type, event_id: `event_${this.#id}`, ...rest }));
  }
}
