import { BYTES_PER_MS, SILENCE } from '../../src/wire/audio.ts';
import type { JsonObject } from '../../src/wire/json.ts';
import { readCommand } from './command.ts';
import { DEFAULT_VAD, Ear } from './ear.ts';
import { Phone } from './phone.ts';

const FRAME_MS = 20;
const FRAME_BYTES = FRAME_MS * BYTES_PER_MS;

/** A warning of Twilio's debugger: https://www.twilio.com/docs/api/errors */
export interface Warning {
  code: number;
  detail: string;
}

/**
 * An event of a stream. The caller's turns are detected as by server_vad, `agoMs` after they began or ended.
 * `heardMs` is how long the assistant had been heard without a pause.
 */
export type StreamEvent =
  | { type: 'stream-started'; streamSid: string }
  | { type: 'speech-started'; agoMs: number; isOverAssistant: boolean }
  | { type: 'speech-stopped'; agoMs: number; speechMs: number }
  | { type: 'pressed'; digits: string }
  | { type: 'first-sound' }
  | { type: 'silence' }
  | { type: 'cleared'; heardMs: number; unheardMs: number }
  | ({ type: 'warning' } & Warning);

/** The audio of one frame's time, in mu-law, both ways. */
export interface Moment {
  said: Uint8Array;
  heard: Uint8Array;
}

/** A live caller's words; `pull` leaves silence in a frame that it has none for. */
export interface Microphone {
  pull(frame: Uint8Array): void;
}

export interface StreamOptions {
  onEvent: (event: StreamEvent) => void;
  /** Called every 20 ms. */
  onMoment?: ((moment: Moment) => void) | undefined;
  microphone?: Microphone | undefined;
}

/** Twilio's names of a stream, its call and its account. */
export type Sids = Record<'accountSid' | 'callSid' | 'streamSid', string>;

/** One Media Stream, from Twilio's end. */
export class Stream {
  #sids: Sids;
  #options: StreamOptions;
  #transmit: (text: string) => void = () => {};
  #phone = new Phone();
  #ear = new Ear();
  #began: number | undefined;
  #over: number | undefined;
  #sequenceNumber = 0;
  #chunk = 0;
  #nextFrame = FRAME_MS;
  #timer: NodeJS.Timeout | undefined;
  /** The start of the sound that is playing. */
  #soundingSince: number | undefined;
  #speech: { audio: Uint8Array; sent: number; resolve: () => void }[] = [];
  #waiting = new Set<{ met: (phone: Phone, now: number) => boolean; resolve: (met: boolean) => void }>();

  constructor(sids: Sids, options: StreamOptions) {
    this.#sids = sids;
    this.#options = options;
    this.#ear.configure({ prefix_padding_ms: 0 });
  }

  get heard(): Uint8Array {
    return this.#phone.heard(this.#clock());
  }

  get heardMs(): number {
    return this.#phone.heardMs(this.#clock());
  }

  /** Sends connected and start; all messages go out by `transmit`. */
  start(customParameters: Record<string, string>, transmit: (text: string) => void): void {
    const { accountSid, callSid, streamSid } = this.#sids;
    const mediaFormat = { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 };
    const start = { accountSid, streamSid, callSid, tracks: ['inbound'], mediaFormat, customParameters };
    this.#began = performance.now();
    this.#transmit = transmit;
    transmit(JSON.stringify({ event: 'connected', protocol: 'Call', version: '1.0.0' }));
    this.#send('start', { start });
    this.#options.onEvent({ type: 'stream-started', streamSid });
    this.#run();
  }

  /** Handles one message of the server's. */
  receive(text: string, isBinary: boolean): void {
    if (this.#over !== undefined) return;
    const { onEvent } = this.#options;
    const now = this.#clock();
    this.#play(now);
    const command = isBinary ? undefined : readCommand(text, this.#sids.streamSid);
    if (command === undefined) {
      onEvent({ type: 'warning', code: isBinary ? 31950 : 31951, detail: text.slice(0, 200) });
    } else if (command.event === 'mark') {
      this.#phone.mark(command.mark.name, now);
    } else if (command.event === 'clear') {
      const unheardMs = this.#phone.bufferedMs(now);
      for (const { name } of this.#phone.clear(now)) this.#send('mark', { mark: { name } });
      const heardMs = now - (this.#soundingSince ?? now);
      this.#soundingSince = undefined;
      onEvent({ type: 'cleared', heardMs, unheardMs });
    } else {
      this.#phone.media(Buffer.from(command.media.payload, 'base64'), now);
      if (this.#soundingSince === undefined) onEvent({ type: 'first-sound' });
      this.#soundingSince ??= now;
    }
    this.#run();
  }

  /** Resolves when the last frame of `audio` was sent or the stream has ended. */
  say(audio: Uint8Array): Promise<void> {
    if (this.#over !== undefined || audio.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#speech.push({ audio, sent: 0, resolve });
    });
  }

  /** Presses keys, one message for each of `digits`. */
  press(digits: string): void {
    if (this.#over !== undefined || this.#began === undefined) return;
    for (const digit of digits) this.#send('dtmf', { dtmf: { track: 'inbound_track', digit } });
    this.#options.onEvent({ type: 'pressed', digits });
  }

  /** Resolves with true when the phone meets a condition, with false if the stream ends first. */
  until(met: (phone: Phone, now: number) => boolean): Promise<boolean> {
    if (this.#over !== undefined) return Promise.resolve(false);
    if (met(this.#phone, this.#clock())) return Promise.resolve(true);
    return new Promise((resolve) => {
      this.#waiting.add({ met, resolve });
    });
  }

  /** Sends stop, and ends. */
  stop(): void {
    const { accountSid, callSid } = this.#sids;
    this.#send('stop', { stop: { accountSid, callSid } });
    this.end();
  }

  /** Ends: no more is sent, handled, said or heard. */
  end(): void {
    this.#over ??= this.#clock();
    clearTimeout(this.#timer);
    for (const { resolve } of this.#speech.splice(0)) resolve();
    for (const { resolve } of this.#waiting) resolve(false);
    this.#waiting.clear();
  }

  /** Does what is due by now, then sleeps until the next frame or mark. */
  #run = (): void => {
    const now = this.#clock();
    this.#play(now);
    while (this.#nextFrame <= now) this.#sendFrame();
    for (const waiting of this.#waiting) {
      if (!waiting.met(this.#phone, now)) continue;
      this.#waiting.delete(waiting);
      waiting.resolve(true);
    }
    if (this.#over !== undefined) return;
    const next = Math.min(this.#nextFrame, this.#phone.nextMarkAt);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#run, Math.max(0, Math.ceil(next - this.#clock())));
  };

  #play(now: number): void {
    for (const { name } of this.#phone.advance(now)) this.#send('mark', { mark: { name } });
    if (this.#soundingSince !== undefined && !this.#phone.playing(now)) {
      this.#soundingSince = undefined;
      this.#options.onEvent({ type: 'silence' });
    }
  }

  #sendFrame(): void {
    const at = this.#nextFrame;
    this.#nextFrame += FRAME_MS;
    const frame = this.#nextWords();
    this.#chunk += 1;
    const payload = frame.toString('base64');
    const chunk = String(this.#chunk);
    this.#send('media', { media: { track: 'inbound', chunk, timestamp: String(at), payload } });
    this.#listenTo(frame);
    this.#options.onMoment?.({ said: frame, heard: this.#phone.heard(at, at - FRAME_MS) });
  }

  /** The next frame: of what is said, otherwise of the microphone. */
  #nextWords(): Buffer {
    const frame = Buffer.alloc(FRAME_BYTES, SILENCE);
    const [speech] = this.#speech;
    if (speech === undefined) {
      this.#options.microphone?.pull(frame);
      return frame;
    }
    frame.set(speech.audio.subarray(speech.sent, speech.sent + FRAME_BYTES));
    speech.sent += FRAME_BYTES;
    if (speech.sent >= speech.audio.length) {
      this.#speech.shift();
      speech.resolve();
    }
    return frame;
  }

  #listenTo(frame: Uint8Array): void {
    const { onEvent } = this.#options;
    for (const heard of this.#ear.hear(frame)) {
      if (heard.type === 'started') {
        const isOverAssistant = this.#soundingSince !== undefined;
        onEvent({ type: 'speech-started', agoMs: this.#clock() - heard.audioStartMs, isOverAssistant });
      } else {
        const endedMs = heard.audioEndMs - DEFAULT_VAD.silence_duration_ms;
        const speechMs = heard.words.length / BYTES_PER_MS;
        onEvent({ type: 'speech-stopped', agoMs: this.#clock() - endedMs, speechMs });
      }
    }
  }

  #send(event: string, body: JsonObject): void {
    if (this.#over !== undefined || this.#began === undefined) return;
    this.#sequenceNumber += 1;
    const { streamSid } = this.#sids;
    const sequenceNumber = String(this.#sequenceNumber);
    this.#transmit(JSON.stringify({ event, sequenceNumber, ...body, streamSid }));
  }

  /** ms since the stream began; it stands still when the stream is over. */
  #clock(): number {
    return this.#over ?? (this.#began === undefined ? 0 : performance.now() - this.#began);
  }
}
