import { WebSocket } from 'ws';
import { audioMs } from '../../src/wire/audio.ts';
import { onOrigin, signature } from '../simulator/webhook.ts';
import type { Call } from './call.ts';
import type { Party } from './clock.ts';
import type { Line } from './line.ts';
import { Playout } from './playout.ts';
import { ORIGIN, RELAY_HOST, type Server } from './server.ts';
import { voice } from './voice.ts';
import { SECRET, type World } from './world.ts';

/** A stream from Twilio's side: frames up, and what is played to the caller. */
export class Stream {
  readonly sid: string;
  readonly call: Call;
  readonly server: Server;
  readonly line: Line;
  readonly number: number;
  readonly playout: Playout;
  readonly token: string | undefined;
  startedAt: number | undefined;
  stoppedAt: number | undefined;
  closed: { at: number; code: number } | undefined;
  httpStatus: number | undefined;
  mutedUntil = 0;
  speakUntil = 0;
  /** When each frame was sent, and whether the caller spoke in it. */
  readonly frames: { at: number; isSpeech: boolean }[] = [];
  /** When keys were pressed. */
  readonly keys: number[] = [];
  onOpen = () => {};
  onClose = () => {};
  /** Called where nobody answered at all. */
  onLost = () => {};
  readonly #world: World;
  readonly #socket: WebSocket;
  #sequence = 0;
  #chunks = 0;

  constructor(
    world: World,
    call: Call,
    party: Party,
    server: Server,
    line: Line,
    parameters: Record<string, string>,
    path: string,
  ) {
    this.#world = world;
    this.call = call;
    this.server = server;
    this.line = line;
    this.number = world.nextStream();
    this.token = parameters.token;
    this.sid = `MZ${String(this.number).padStart(32, '0')}`;
    this.playout = new Playout(world.clock, party, (name) => this.#send({ event: 'mark', mark: { name } }));
    const url = onOrigin(`ws://${RELAY_HOST}`, new URL(path, ORIGIN));
    const socket = new WebSocket(url, {
      perMessageDeflate: false,
      createConnection: () => line.ends[0],
      headers: signature(SECRET.authToken, `wss://${RELAY_HOST}${path}`),
    });
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('unexpected-response', (_request, response) => {
      this.httpStatus = response.statusCode;
      socket.terminate();
    });
    socket.on('open', () => this.#start(parameters));
    socket.on('message', (data: Buffer) => this.#receive(data));
    socket.on('close', (code) => this.#closed(code));
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  press(digit: string): void {
    this.keys.push(this.#world.clock.now);
    this.#send({ event: 'dtmf', dtmf: { track: 'inbound_track', digit } });
  }

  stop(): void {
    this.stoppedAt ??= this.#world.clock.now;
    this.#send({ event: 'stop', stop: { accountSid: 'AC0', callSid: this.call.sid } });
  }

  close(code: number): void {
    this.stoppedAt ??= this.#world.clock.now;
    if (code === 1006) this.#socket.terminate();
    else this.#socket.close(code);
  }

  stopReading(ms: number): void {
    if (!this.isOpen) return;
    this.#socket.pause();
    this.call.later(ms, () => this.#socket.resume());
  }

  #start(customParameters: Record<string, string>): void {
    this.startedAt = this.#world.clock.now;
    this.call.note(`stream ${this.number} opens at ${this.server.party.name}`);
    this.#socket.send(JSON.stringify({ event: 'connected', protocol: 'Call', version: '1.0.0' }));
    const mediaFormat = { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 };
    const { sid: callSid } = this.call;
    const start = { accountSid: 'AC0', streamSid: this.sid, callSid, tracks: ['inbound'] };
    this.#send({ event: 'start', start: { ...start, mediaFormat, customParameters } });
    this.#frame();
    this.onOpen();
  }

  /** Sends a frame, and the next one in its time. */
  #frame(): void {
    const { frameMs } = this.call.plan;
    this.call.later(frameMs, () => {
      if (!this.isOpen || this.stoppedAt !== undefined) return;
      const { now } = this.#world.clock;
      const frame = this.#chunks;
      const timestamp = String(frame * frameMs);
      const isSpeech = now - frameMs < this.speakUntil;
      this.#chunks += 1;
      if (this.mutedUntil <= now) {
        const payload = voice([1, this.number, frame, Number(isSpeech)], frameMs);
        const media = { track: 'inbound', chunk: String(this.#chunks), timestamp, payload };
        this.#send({ event: 'media', media });
        this.frames[frame] = { at: now, isSpeech };
      }
      this.#frame();
    });
  }

  #receive(data: Buffer): void {
    const message = JSON.parse(data.toString('latin1'));
    const { event, streamSid, media, mark } = message;
    if (streamSid !== this.sid) this.#world.object(`${this.call.name} gets ${event} of ${streamSid}`);
    if (event === 'media') this.playout.media(media.payload, audioMs(media.payload));
    else if (event === 'mark') this.playout.mark(mark.name);
    else {
      this.playout.clear();
      this.call.note('is cleared');
    }
  }

  /** Sends a message with its number, in the order of keys that Twilio has. */
  #send({ event, ...rest }: { event: string; [key: string]: unknown }): void {
    if (!this.isOpen) return;
    this.#sequence += 1;
    const message = { event, sequenceNumber: String(this.#sequence), ...rest, streamSid: this.sid };
    this.#socket.send(JSON.stringify(message));
  }

  #closed(code: number): void {
    this.closed = { at: this.#world.clock.now, code };
    this.playout.stop();
    this.call.note(`stream ${this.number} closes ${code}`);
    if (this.startedAt === undefined && this.httpStatus === undefined) this.onLost();
    else this.onClose();
  }
}
