import type { WebSocket } from 'ws';
import { BYTES_PER_MS, SILENCE } from '../../src/wire/audio.ts';
import { parseObject } from '../../src/wire/json.ts';
import { type CallerEvent, PhoneCall } from './caller.ts';
import { decodeAudio, encodeAudio, loudness } from './mulaw.ts';
import { callerLine, parrotLine, wordsIn } from './narrator.ts';
import { JitterBuffer } from './page/jitter-buffer.js';
import type { ParrotEvent } from './parrot.ts';
import { type CallReport, type Cut, reportOf } from './report.ts';
import type { Moment } from './stream.ts';
import { troubleOf } from './trouble.ts';
import { writeWav } from './wav.ts';
import type { WebhookOptions } from './webhook.ts';

/** A message to the page in text, `at` ms after the call was placed. Binary ones carry each moment's audio. */
export type ToPage =
  | {
      type: 'event';
      who: 'caller' | 'parrot';
      kind: CallerEvent['type'] | ParrotEvent['type'];
      at: number;
      line: string;
      report: CallReport;
      /** The words of Twilio's voice. */
      say?: string;
    }
  /** The last message; `wav` is the path of the recording, if there was a stream. */
  | { type: 'over'; trouble?: string; wav?: string };

export interface HandsetOptions {
  server: WebhookOptions;
  /** Called with a line for each event, such as `caller  is connected`. */
  narrate: (line: string) => void;
  /** Keeps the recording of a call, and returns the path under which the page finds it. */
  keep: (callSid: string, wav: Buffer) => string;
}

/** Limits of the microphone's jitter buffer, in bytes. */
const LEAST_BYTES = 40 * BYTES_PER_MS;
const MOST_BYTES = 100 * BYTES_PER_MS;
/** The most that a page may leave unread, in bytes. */
const UNREAD_BYTES = 64 * 1024;

/** One call, whose microphone and earpiece are in the browser. It lasts no longer than the page's socket. */
export class Handset {
  readonly #socket: WebSocket;
  readonly #options: HandsetOptions;
  readonly #microphone = new JitterBuffer({ silence: SILENCE, least: LEAST_BYTES, most: MOST_BYTES });
  readonly #call: PhoneCall;
  readonly #events: CallerEvent[] = [];
  readonly #cuts: Cut[] = [];
  readonly #said: Uint8Array[] = [];
  readonly #heard: Uint8Array[] = [];
  #hasLeft = false;

  constructor(socket: WebSocket, options: HandsetOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#call = new PhoneCall({
      ...options.server,
      microphone: this.#microphone,
      onMoment: (moment) => this.#carry(moment),
      onEvent: (event) => this.#onCaller(event),
    });
    socket.on('error', () => {});
    socket.on('message', (data, isBinary) => {
      if (isBinary) this.#hear(data);
      else this.#obey(String(data));
    });
    socket.on('close', () => this.#hangUp());
  }

  /** Calls. Resolves when the call is over and the page has its last message. */
  async call(): Promise<void> {
    const { server, narrate, keep } = this.#options;
    narrate(`caller  dials ${server.url}`);
    await this.#call.place();
    // The page was closed while it rang.
    if (this.#hasLeft) this.#hangUp();
    const trouble = troubleOf(await this.#call.ended, this.#events, server.url);
    if (trouble !== undefined) narrate(`caller  has a call that went wrong: ${trouble}`);
    const isRecorded = this.#said.length > 0;
    this.#send({
      type: 'over',
      ...(trouble !== undefined && { trouble }),
      ...(isRecorded && { wav: keep(this.#call.callSid, this.#recording()) }),
    });
    this.#socket.close(1000);
  }

  /** Passes an event at the parrot's end to the page. */
  onParrot(event: ParrotEvent): void {
    const at = this.#call.ageMs;
    if (event.type === 'truncated') this.#cuts.push({ at, audioEndMs: event.audioEndMs });
    const line = parrotLine(event);
    this.#options.narrate(`parrot  ${line}`);
    this.#tell('parrot', event.type, at, line);
  }

  #onCaller(event: CallerEvent): void {
    this.#events.push(event);
    const line = callerLine(event);
    this.#options.narrate(`caller  ${line}`);
    this.#tell('caller', event.type, event.at, line, wordsToSay(event));
  }

  #tell(
    who: 'caller' | 'parrot',
    kind: CallerEvent['type'] | ParrotEvent['type'],
    at: number,
    line: string,
    say?: string,
  ): void {
    const report = reportOf(this.#events, this.#cuts);
    this.#send({ type: 'event', who, kind, at, line, report, ...(say !== undefined && { say }) });
  }

  #send(message: ToPage): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** Records both sides, and sends what was heard, in 16-bit samples behind one with the caller's loudness. */
  #carry({ said, heard }: Moment): void {
    this.#said.push(said);
    this.#heard.push(heard);
    if (this.#socket.readyState !== this.#socket.OPEN || this.#socket.bufferedAmount > UNREAD_BYTES) return;
    this.#socket.send(Int16Array.of(loudness(said), ...decodeAudio(heard)));
  }

  /** Buffers audio of the microphone's, in 16-bit samples at 8 kHz. */
  #hear(data: unknown): void {
    if (!(data instanceof Buffer) || data.length % 2 !== 0) return;
    const samples = Int16Array.from({ length: data.length / 2 }, (_, i) => data.readInt16LE(2 * i));
    this.#microphone.push(encodeAudio(samples));
  }

  #obey(text: string): void {
    const { type, digits } = parseObject(text) ?? {};
    if (type === 'hang-up') this.#hangUp();
    if (type === 'press' && typeof digits === 'string' && /^[\d*#]+$/.test(digits)) this.#call.press(digits);
  }

  #hangUp(): void {
    this.#hasLeft = true;
    void this.#call.hangUp();
  }

  /** The call in stereo: the caller on the left, what the caller heard on the right. */
  #recording(): Buffer {
    return writeWav(Buffer.concat(this.#said), Buffer.concat(this.#heard));
  }
}

/** The words of TwiML: a notice before the stream, or how the call ends. */
function wordsToSay(event: CallerEvent): string | undefined {
  return event.type === 'twiml' || event.type === 'answered' ? wordsIn(event.twiml) : undefined;
}
