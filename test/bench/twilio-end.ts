import { WebSocket } from 'ws';
import { issueToken, sign } from '../../src/wire/auth.ts';
import type { Server } from './server.ts';
import { CONNECTED, DELTA_MS, FRAME_MS, markEcho, media, readTag, start, stop } from './wire.ts';

/** What the relay is configured with; it admits only requests that are signed with it. */
export const AUTH_TOKEN = 'bench-auth-token';

let calls = 0;

/** Twilio's end of one call. Its clock is that of its stream: 20 ms for each frame that it has sent. */
export class TwilioEnd {
  readonly closed: Promise<void>;
  /** The first sound at the caller, by `performance.now()`. */
  readonly firstSound: Promise<number>;
  marks = 0;
  startedAt = 0;
  readonly #socket: WebSocket;
  readonly #server: Server;
  readonly #index: number;
  readonly #callSid: string;
  readonly #streamSid: string;
  readonly #echoes: { at: number; name: string }[] = [];
  #resolveFirstSound: (at: number) => void = () => {};
  #heard = 0;
  #sequence = 1;
  #chunk = 0;
  #playedUntil = 0;

  /** Dials at once, and starts its stream once connected; `index` tags its frames. */
  constructor(server: Server, index: number) {
    calls += 1;
    this.#server = server;
    this.#index = index;
    this.#callSid = `CA${String(calls).padStart(32, '0')}`;
    this.#streamSid = `MZ${String(calls).padStart(32, '0')}`;
    const path = `${server.host}/media-stream`;
    const headers = { 'X-Twilio-Signature': sign(AUTH_TOKEN, `wss://${path}`) };
    const socket = new WebSocket(`ws://${path}`, { perMessageDeflate: false, headers });
    this.#socket = socket;
    this.firstSound = new Promise((resolve) => {
      this.#resolveFirstSound = resolve;
    });
    this.closed = new Promise((resolve) => socket.on('close', () => resolve()));
    socket.on('error', (error) => console.error(`Twilio's end of ${server.name}: ${error.message}`));
    socket.on('open', () => this.#start());
    socket.on('message', (data) => {
      const tag = readTag(data);
      if (tag !== undefined) this.#delta(tag);
      else this.#other(data.toString());
    });
  }

  get isStarted(): boolean {
    return this.startedAt > 0 && this.#socket.readyState === WebSocket.OPEN;
  }

  /** Sends the next 20 ms, then whatever mark has been played by now. */
  sendFrame(): void {
    if (!this.isStarted) return;
    this.#chunk += 1;
    this.#sequence += 1;
    this.#server.up.send({ sender: this.#index, number: this.#chunk });
    this.#socket.send(media(this.#streamSid, this.#sequence, this.#index, this.#chunk));
    const echo = this.#echoes[0];
    if (echo === undefined || echo.at > this.#chunk * FRAME_MS) return;
    this.#echoes.shift();
    this.#sequence += 1;
    this.#socket.send(markEcho(this.#streamSid, this.#sequence, echo.name));
  }

  /** Hangs up. */
  close(): void {
    if (this.isStarted) this.#socket.send(stop(this.#streamSid, this.#callSid, this.#sequence + 1));
    this.#socket.close();
  }

  terminate(): void {
    this.#socket.terminate();
  }

  #start(): void {
    this.#socket.send(CONNECTED);
    this.startedAt = performance.now();
    const token = issueToken(AUTH_TOKEN, this.#callSid, Date.now());
    this.#socket.send(start(this.#streamSid, this.#callSid, token));
  }

  #delta(tag: { sender: number; number: number }): void {
    this.#server.down.receive(tag);
    this.#heard += 1;
    if (this.#heard === 1) this.#resolveFirstSound(performance.now());
    // A pipe sends no marks: their echoes are made up, so that every server gets the same messages.
    if (!this.#server.readsMessages) this.#play(`audio-${this.#heard}`);
  }

  #other(text: string): void {
    const { event, mark } = JSON.parse(text);
    if (event !== 'mark') return;
    this.marks += 1;
    this.#play(mark.name);
  }

  /** A delta is played when it comes, or when what came before it has ended; its mark goes back then. */
  #play(name: string): void {
    this.#playedUntil = Math.max(this.#playedUntil, this.#chunk * FRAME_MS) + DELTA_MS;
    this.#echoes.push({ at: this.#playedUntil, name });
  }
}
