import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { sign } from '../auth.ts';
import { isBase64, isObject, type JsonObject, parseObject } from '../json.ts';
import { BYTES_PER_MS, type TwilioCommand } from '../twilio.ts';
import { SILENCE } from './mulaw.ts';
import { Phone } from './phone.ts';

const FRAME_MS = 20;
const FRAME_BYTES = FRAME_MS * BYTES_PER_MS;

export interface CallOptions {
  /** The origin to dial, such as `http://127.0.0.1:3000`. */
  url: string;
  /** The origin that Twilio is configured with, over which it signs; `url` by default. */
  publicUrl?: string;
  /** Given, the requests are signed with it. */
  authToken?: string;
  from?: string;
  to?: string;
  /** Whether frames of silence go out while nothing is said, as from a real phone; true by default. */
  speakSilence?: boolean;
  onEvent?: (event: CallerEvent) => void;
}

/** Something that Twilio's debugger would show, by its number: https://www.twilio.com/docs/api/errors */
export interface Warning {
  code: number;
  detail: string;
}

/** How a call ended; `rejected` if there was no stream, and `code` 1006 if there was no WebSocket close. */
export interface CallEnd {
  by: 'caller' | 'server' | 'rejected';
  code: number;
  reason: string;
  /** What a webhook or an upgrade that began no stream was answered with. */
  httpStatus?: number | undefined;
  /** What Twilio runs next: the answer to the Connect action, or to the call if it has no Stream. */
  twiml?: string | undefined;
}

type Happening =
  | { type: 'answered'; twiml: string }
  | { type: 'stream-started'; streamSid: string }
  | { type: 'first-sound' }
  | { type: 'silence' }
  | { type: 'cleared'; unheardMs: number }
  | ({ type: 'warning' } & Warning)
  | { type: 'closed'; by: CallEnd['by']; code: number; reason: string }
  | { type: 'twiml'; twiml: string };

interface Answer {
  httpStatus?: number;
  twiml?: string;
  reason: string;
}

/** What happens on a call, `at` ms after it was placed. */
export type CallerEvent = Happening & { at: number };

/** Calls the server as Twilio does; resolves when the stream has begun, or when the call has ended without. */
export async function placeCall(options: CallOptions): Promise<PhoneCall> {
  const call = new PhoneCall(options);
  await call.place();
  return call;
}

/** One call over real sockets, from Twilio's end; made by `placeCall`. */
export class PhoneCall {
  readonly callSid = sid('CA');
  readonly streamSid = sid('MZ');
  readonly warnings: Warning[] = [];
  /** Resolves when the stream is over and, if the server closed it, the Connect action has been answered. */
  readonly ended: Promise<CallEnd>;

  #resolveEnded: (end: CallEnd) => void = () => {};
  #options: CallOptions;
  #accountSid = sid('AC');
  #placed = performance.now();
  #phone = new Phone();
  #socket: WebSocket | undefined;
  #tcp: Socket | undefined;
  #began: number | undefined;
  #over: number | undefined;
  #left = false;
  #sequenceNumber = 0;
  #chunk = 0;
  #nextFrame = FRAME_MS;
  #timer: NodeJS.Timeout | undefined;
  #muted = false;
  #sounding = false;
  #speech: { audio: Uint8Array; sent: number; resolve: () => void }[] = [];
  #waiting = new Set<{ met: (now: number) => boolean; resolve: (met: boolean) => void }>();

  constructor(options: CallOptions) {
    this.#options = options;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  /** What the caller has heard since the stream began, in mu-law, silence included. */
  get heard(): Uint8Array {
    return this.#phone.heard(this.#clock());
  }

  /** How many ms of the server's audio the caller has heard in all, the silence between not counted. */
  get heardMs(): number {
    return this.#phone.heardMs(this.#clock());
  }

  /** Says mu-law audio after what is being said; resolves when its last frame was sent or the call has ended. */
  say(audio: Uint8Array): Promise<void> {
    if (this.#over !== undefined || audio.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#speech.push({ audio, sent: 0, resolve });
    });
  }

  /** Stops sending frames; time goes on, and what is said is lost. */
  mute(): void {
    this.#muted = true;
  }

  unmute(): void {
    this.#muted = false;
  }

  press(digit: string): void {
    this.#send('dtmf', { dtmf: { track: 'inbound_track', digit } });
  }

  /** Resolves when the server is heard: true, or false if the call ended first. */
  untilPlaying(): Promise<boolean> {
    return this.#until((now) => this.#phone.playing(now));
  }

  /** Resolves when the server has not been heard for `ms` on end: true, or false if the call ended first. */
  untilSilentFor(ms: number): Promise<boolean> {
    return this.#until((now) => !this.#phone.playing(now) && this.#phone.silentMs(now) >= ms);
  }

  hangUp(): Promise<CallEnd> {
    return this.#leave((socket) => {
      this.#send('stop', { stop: { accountSid: this.#accountSid, callSid: this.callSid } });
      socket.close(1000);
    });
  }

  /** Takes the call elsewhere, as an update over Twilio's REST API does; the server can't tell it from a hang-up. */
  redirect(): Promise<CallEnd> {
    return this.hangUp();
  }

  /** Loses the connection: a TCP reset, without stop. */
  drop(): Promise<CallEnd> {
    return this.#leave((socket) => {
      if (this.#tcp === undefined || 'encrypted' in this.#tcp) socket.terminate();
      else this.#tcp.resetAndDestroy();
    });
  }

  /** Asks the server what to do with the call and connects the stream. */
  async place(): Promise<void> {
    const { httpStatus, twiml, reason } = await this.#post('/incoming-call', 'ringing');
    if (twiml === undefined) return this.#end({ by: 'rejected', code: 1006, reason, httpStatus });
    this.#emit({ type: 'answered', twiml });
    const url = elements(twiml, 'Stream')[0]?.url;
    if (url === undefined) {
      return this.#end({ by: 'rejected', code: 1006, reason: 'no Stream in the TwiML', httpStatus, twiml });
    }
    const fault = urlFault(url);
    if (fault !== undefined) {
      this.#warn(fault, `Stream url ${url}`);
      return this.#end({ by: 'rejected', code: 1006, reason: `Stream url ${url}`, httpStatus });
    }
    const parameters = elements(twiml, 'Parameter').map(({ name = '', value = '' }) => [name, value]);
    await this.#connect(url, Object.fromEntries(parameters), elements(twiml, 'Connect')[0]?.action);
  }

  #connect(url: string, customParameters: Record<string, string>, action?: string): Promise<void> {
    const { url: origin, authToken } = this.#options;
    const headers = authToken === undefined ? {} : { 'X-Twilio-Signature': sign(authToken, url) };
    const socket = new WebSocket(onOrigin(origin, new URL(url)), {
      perMessageDeflate: false,
      handshakeTimeout: 10_000,
      headers,
    });
    this.#socket = socket;
    let httpStatus: number | undefined;
    let trouble = '';
    socket.on('error', (error) => {
      trouble ||= error.message;
    });
    socket.on('unexpected-response', (_request, response) => {
      httpStatus = response.statusCode;
      trouble = `the upgrade was answered with ${httpStatus}`;
      this.#warn(31920, trouble);
      socket.terminate();
    });
    socket.on('upgrade', (response) => {
      this.#tcp = response.socket;
    });
    socket.on('message', (data, isBinary) => {
      if (this.#over !== undefined) return;
      if (isBinary) this.#warn(31950, 'binary frame');
      else this.#receive(String(data));
    });

    return new Promise((resolve) => {
      socket.on('open', () => {
        this.#start(customParameters);
        resolve();
      });
      socket.on('close', (code, closeReason) => {
        const by = this.#left ? 'caller' : this.#began === undefined ? 'rejected' : 'server';
        this.#end({ by, code, reason: closeReason.toString() || trouble, httpStatus }, action);
        resolve();
      });
    });
  }

  #start(customParameters: Record<string, string>): void {
    const { callSid, streamSid } = this;
    const sids = { accountSid: this.#accountSid, streamSid, callSid };
    const mediaFormat = { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 };
    this.#began = performance.now();
    this.#socket?.send(JSON.stringify({ event: 'connected', protocol: 'Call', version: '1.0.0' }));
    this.#send('start', { start: { ...sids, tracks: ['inbound'], mediaFormat, customParameters } });
    this.#emit({ type: 'stream-started', streamSid });
    this.#run();
  }

  /** Does what is due by now, then sleeps until the next frame, mark or end of the playout. */
  #run = (): void => {
    const now = this.#clock();
    this.#play(now);
    while (this.#nextFrame <= now) this.#sendFrame();
    for (const waiting of this.#waiting) {
      if (!waiting.met(now)) continue;
      this.#waiting.delete(waiting);
      waiting.resolve(true);
    }
    const next = Math.min(this.#nextFrame, this.#phone.nextAt(now) ?? Infinity);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#run, Math.ceil(next - this.#clock()));
  };

  #play(now: number): void {
    for (const { name } of this.#phone.advance(now)) this.#send('mark', { mark: { name } });
    if (this.#sounding && !this.#phone.playing(now)) {
      this.#sounding = false;
      this.#emit({ type: 'silence' });
    }
  }

  #sendFrame(): void {
    const timestamp = String(this.#nextFrame);
    this.#nextFrame += FRAME_MS;
    const [speech] = this.#speech;
    const frame = Buffer.alloc(FRAME_BYTES, SILENCE);
    if (speech !== undefined) {
      frame.set(speech.audio.subarray(speech.sent, speech.sent + FRAME_BYTES));
      speech.sent += FRAME_BYTES;
    }
    if (!this.#muted && (speech !== undefined || this.#options.speakSilence !== false)) {
      this.#chunk += 1;
      const payload = frame.toString('base64');
      this.#send('media', { media: { track: 'inbound', chunk: String(this.#chunk), timestamp, payload } });
    }
    if (speech !== undefined && speech.sent >= speech.audio.length) {
      this.#speech.shift();
      speech.resolve();
    }
  }

  #receive(text: string): void {
    const now = this.#clock();
    this.#play(now);
    const command = readCommand(text, this.streamSid);
    if (command === undefined) {
      this.#warn(31951, text.slice(0, 200));
    } else if (command.event === 'mark') {
      this.#phone.mark(command.mark.name, now);
    } else if (command.event === 'clear') {
      const unheardMs = this.#phone.bufferedMs(now);
      for (const { name } of this.#phone.clear(now)) this.#send('mark', { mark: { name } });
      this.#sounding = false;
      this.#emit({ type: 'cleared', unheardMs });
    } else if (!this.#phone.media(Buffer.from(command.media.payload, 'base64'), now)) {
      this.#warn(31931, 'more than 10 minutes of audio buffered');
    } else if (!this.#sounding && this.#phone.playing(now)) {
      this.#sounding = true;
      this.#emit({ type: 'first-sound' });
    }
    this.#run();
  }

  #send(event: string, body: JsonObject): void {
    if (this.#over !== undefined || this.#began === undefined) return;
    this.#sequenceNumber += 1;
    const { streamSid } = this;
    const sequenceNumber = String(this.#sequenceNumber);
    this.#socket?.send(JSON.stringify({ event, sequenceNumber, ...body, streamSid }));
  }

  #until(met: (now: number) => boolean): Promise<boolean> {
    if (this.#over !== undefined) return Promise.resolve(false);
    if (met(this.#clock())) return Promise.resolve(true);
    return new Promise((resolve) => {
      this.#waiting.add({ met, resolve });
    });
  }

  #leave(how: (socket: WebSocket) => void): Promise<CallEnd> {
    if (this.#over === undefined && this.#socket?.readyState === WebSocket.OPEN) {
      this.#left = true;
      how(this.#socket);
      this.#stop();
    }
    return this.ended;
  }

  #stop(): void {
    this.#over ??= this.#clock();
    clearTimeout(this.#timer);
    for (const { resolve } of this.#speech.splice(0)) resolve();
    for (const { resolve } of this.#waiting) resolve(false);
    this.#waiting.clear();
  }

  async #end(end: CallEnd, action?: string): Promise<void> {
    this.#stop();
    const { by, code, reason } = end;
    this.#emit({ type: 'closed', by, code, reason });
    if (by === 'server' && action !== undefined) {
      end.twiml = (await this.#post(action, 'in-progress')).twiml;
      if (end.twiml !== undefined) this.#emit({ type: 'twiml', twiml: end.twiml });
    }
    this.#resolveEnded(end);
  }

  /** Asks a webhook for TwiML; without any, the reason says why. */
  async #post(path: string, CallStatus: string): Promise<Answer> {
    const { url, publicUrl = url, authToken, from = '+14155550100', to = '+14155550199' } = this.#options;
    const form = {
      ...{ AccountSid: this.#accountSid, ApiVersion: '2010-04-01', CallSid: this.callSid, CallStatus },
      ...{ CallToken: 'token', Direction: 'inbound', StirVerstat: 'TN-Validation-Passed-A' },
      ...{ Called: to, CalledCity: '', CalledCountry: 'US', CalledState: 'CA', CalledZip: '' },
      ...{ Caller: from, CallerCity: '', CallerCountry: 'US', CallerState: 'CA', CallerZip: '' },
      ...{ From: from, FromCity: '', FromCountry: 'US', FromState: 'CA', FromZip: '' },
      ...{ To: to, ToCity: '', ToCountry: 'US', ToState: 'CA', ToZip: '' },
    };
    try {
      const address = new URL(path, publicUrl);
      const headers = { 'X-Twilio-Signature': sign(authToken ?? '', address.href, form) };
      const response = await fetch(onOrigin(url, address), {
        method: 'POST',
        body: new URLSearchParams(form),
        headers: authToken === undefined ? {} : headers,
        signal: AbortSignal.timeout(15_000),
      });
      const body = await response.text();
      const { status: httpStatus } = response;
      const type = response.headers.get('content-type') ?? 'no content type';
      const isXml = /^(text|application)\/xml\b/.test(type);
      if (response.ok && isXml) return { httpStatus, twiml: body, reason: '' };
      const reason = `${path} was answered with ${httpStatus}, ${type}`;
      this.#warn(response.ok ? 12300 : 11200, reason);
      return { httpStatus, reason };
    } catch (error) {
      const reason = `${path} was not answered: ${String(error)}`;
      this.#warn(11200, reason);
      return { reason };
    }
  }

  #warn(code: number, detail: string): void {
    this.warnings.push({ code, detail });
    this.#emit({ type: 'warning', code, detail });
  }

  #emit(happening: Happening): void {
    this.#options.onEvent?.({ ...happening, at: performance.now() - this.#placed });
  }

  /** ms since the stream began; it stands still when the stream is over. */
  #clock(): number {
    return this.#over ?? (this.#began === undefined ? 0 : performance.now() - this.#began);
  }
}

function sid(prefix: string): string {
  return prefix + randomBytes(16).toString('hex');
}

function onOrigin(origin: string, { pathname, search }: URL): URL {
  const url = new URL(origin);
  url.pathname = pathname;
  url.search = search;
  return url;
}

/** The error that Twilio ends a call with if it can't open a stream there. */
function urlFault(url: string): number | undefined {
  if (!url.startsWith('wss://')) return 31922;
  if (!URL.canParse(url)) return 31923;
  return url.includes('?') ? 31920 : undefined;
}

/** The attributes of each element of that name. */
function elements(xml: string, name: string): Record<string, string>[] {
  const tags = xml.matchAll(new RegExp(`<${name}\\b((?:[^>"']|"[^"]*"|'[^']*')*)>`, 'g'));
  return Array.from(tags, ([, attributes = '']) => {
    const pairs = attributes.matchAll(/([\w:]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g);
    return Object.fromEntries(Array.from(pairs, ([, key, a, b]) => [key, unescapeXml(a ?? b ?? '')]));
  });
}

function unescapeXml(text: string): string {
  const named: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  return text.replace(
    /&(?:#x([\da-f]+)|#(\d+)|(\w+));/gi,
    (entity, hex?: string, decimal?: string, name?: string) => {
      if (name !== undefined) return named[name] ?? entity;
      return String.fromCodePoint(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16));
    },
  );
}

/** Reads a message as strictly as Twilio does: undefined for any key too many or too few (31951). */
function readCommand(text: string, streamSid: string): TwilioCommand | undefined {
  const message = parseObject(text);
  if (message === undefined || message.streamSid !== streamSid) return undefined;
  const { event, media, mark } = message;
  if (event === 'clear' && hasKeys(message, 'event', 'streamSid')) return { event, streamSid };
  if (!hasKeys(message, 'event', 'streamSid', String(event))) return undefined;
  if (event === 'media' && hasKeys(media, 'payload') && isBase64(media.payload)) {
    return { event, streamSid, media: { payload: media.payload } };
  }
  if (event === 'mark' && hasKeys(mark, 'name') && typeof mark.name === 'string') {
    return { event, streamSid, mark: { name: mark.name } };
  }
  return undefined;
}

function hasKeys(value: unknown, ...keys: string[]): value is JsonObject {
  return isObject(value) && Object.keys(value).sort().join() === keys.sort().join();
}
