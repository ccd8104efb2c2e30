import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { socketOptions } from '../../src/wire/socket.ts';
import { Stream, type StreamEvent, type StreamOptions, type Warning } from './stream.ts';
import {
  type Answer,
  askWebhook,
  type Connect,
  onOrigin,
  readConnect,
  readDial,
  readRedirect,
  signature,
  type WebhookOptions,
} from './webhook.ts';

/** The server to call; `microphone` and `onMoment` are for a live caller. */
export interface CallOptions extends WebhookOptions, Omit<StreamOptions, 'onEvent'> {
  onEvent?: (event: CallerEvent) => void;
}

/** The end of a call: `rejected` if there was no stream, `code` 1006 if there was no WebSocket close. */
export interface CallEnd {
  by: 'caller' | 'server' | 'rejected';
  code: number;
  reason: string;
  /** The status of a webhook or an upgrade that began no stream. */
  httpStatus?: number | undefined;
}

type Happening =
  | { type: 'answered'; twiml: string }
  | StreamEvent
  | { type: 'closed'; by: CallEnd['by']; code: number; reason: string }
  | { type: 'twiml'; twiml: string };

/** An event of a call, `at` ms after it was placed. */
export type CallerEvent = Happening & { at: number };

/** The length of every put-through that is answered, in s. */
const TALK_SECONDS = 42;

/** Calls the server as Twilio does. Resolves when the stream has begun, or the call has ended without one. */
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
  /** Resolves when the stream is over and, if the server closed it, its webhooks have answered. */
  readonly ended: Promise<CallEnd>;

  #resolveEnded: (end: CallEnd) => void = () => {};
  #options: CallOptions;
  #accountSid = sid('AC');
  #placed = performance.now();
  #stream: Stream;
  #socket: WebSocket | undefined;
  #left = false;

  constructor(options: CallOptions) {
    const { callSid, streamSid } = this;
    this.#options = options;
    const { microphone, onMoment } = options;
    const sids = { accountSid: this.#accountSid, callSid, streamSid };
    this.#stream = new Stream(sids, { microphone, onMoment, onEvent: (event) => this.#emit(event) });
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  /** Asks the webhook, follows its redirects, and connects the stream. */
  async place(path = this.#options.path ?? '/incoming-call'): Promise<void> {
    // Twilio asks about a call that it places once the callee has answered.
    const CallStatus = this.#options.direction === 'outbound' ? 'in-progress' : 'ringing';
    const { httpStatus, twiml, reason } = await this.#ask(path, { CallStatus });
    const rejected = { by: 'rejected', code: 1006, httpStatus } as const;
    if (twiml === undefined) return this.#end({ ...rejected, reason });
    const redirect = readRedirect(twiml);
    if (redirect !== undefined) {
      await pause(redirect.afterMs);
      return this.place(redirect.url);
    }
    this.#emit({ type: 'answered', twiml });
    const connect = readConnect(twiml);
    if (connect === undefined) return this.#end({ ...rejected, reason: 'the TwiML ends before a Stream' });
    // Twilio takes no other scheme, and no query.
    if (/^wss:\/\/[^?]+$/.test(connect.url)) return this.#connect(connect);
    const detail = `Stream url ${connect.url}`;
    this.#emit({ type: 'warning', code: connect.url.startsWith('wss:') ? 31920 : 31922, detail });
    return this.#end({ ...rejected, reason: detail });
  }

  /** The time since the call was placed, in ms. */
  get ageMs(): number {
    return performance.now() - this.#placed;
  }

  /** All that the caller has heard, in mu-law, silence included. */
  get heard(): Uint8Array {
    return this.#stream.heard;
  }

  /** The length of the server's audio that the caller has heard, without silence, in ms. */
  get heardMs(): number {
    return this.#stream.heardMs;
  }

  /** Queues mu-law audio to say. Resolves when its last frame was sent, or the call has ended. */
  say(audio: Uint8Array): Promise<void> {
    return this.#stream.say(audio);
  }

  /** Presses keys, 0 to 9, * and #; does nothing once the call has ended. */
  press(digits: string): void {
    this.#stream.press(digits);
  }

  /** Resolves with true when the server is heard, with false if the call ends first. */
  untilPlaying(): Promise<boolean> {
    return this.#stream.until((phone, now) => phone.playing(now));
  }

  /** Resolves with true after `ms` of silence on end, with false if the call ends first. */
  untilSilentFor(ms: number): Promise<boolean> {
    return this.#stream.until((phone, now) => !phone.playing(now) && phone.silentMs(now) >= ms);
  }

  hangUp(): Promise<CallEnd> {
    if (!this.#left && this.#socket?.readyState === WebSocket.OPEN) {
      this.#left = true;
      this.#stream.stop();
      this.#socket.close(1000);
    }
    return this.ended;
  }

  #connect({ url, parameters, action }: Connect): Promise<void> {
    const { url: origin, authToken, publicUrl } = this.#options;
    const headers = signature(authToken, url);
    const options = { ...socketOptions, handshakeTimeout: 10_000, headers };
    const socket = new WebSocket(onOrigin(origin, new URL(url), publicUrl), options);
    this.#socket = socket;
    let began = false;
    let httpStatus: number | undefined;
    let trouble = '';
    socket.on('error', (error) => {
      trouble ||= error.message;
    });
    socket.on('unexpected-response', (_request, response) => {
      httpStatus = response.statusCode;
      trouble = `the upgrade was answered with ${httpStatus}`;
      this.#emit({ type: 'warning', code: 31920, detail: trouble });
      socket.terminate();
    });
    socket.on('message', (data, isBinary) => this.#stream.receive(String(data), isBinary));

    return new Promise((resolve) => {
      socket.on('open', () => {
        began = true;
        this.#stream.start(parameters, (text) => socket.send(text));
        resolve();
      });
      socket.on('close', (code, closeReason) => {
        const by = this.#left ? 'caller' : began ? 'server' : 'rejected';
        this.#end({ by, code, reason: closeReason.toString() || trouble, httpStatus }, action);
        resolve();
      });
    });
  }

  async #end(end: CallEnd, action?: string): Promise<void> {
    const { by, code, reason } = end;
    this.#stream.end();
    this.#emit({ type: 'closed', by, code, reason });
    if (by === 'server' && action !== undefined) await this.#goOn(action);
    this.#resolveEnded(end);
  }

  /** Asks the action of the Connect, then that of a Dial, how to go on. */
  async #goOn(path: string, dialled = {}): Promise<void> {
    const { twiml } = await this.#ask(path, { CallStatus: 'in-progress', ...dialled });
    if (twiml === undefined) return;
    this.#emit({ type: 'twiml', twiml });
    const dial = readDial(twiml);
    if (dial?.action === undefined) return;
    const { dialled: DialCallStatus = 'completed' } = this.#options;
    const wasAnswered = DialCallStatus === 'completed';
    const duration = wasAnswered && { DialCallDuration: String(TALK_SECONDS) };
    await this.#goOn(dial.action, {
      DialCallSid: sid('CA'),
      DialCallStatus,
      DialBridged: String(wasAnswered),
      ...duration,
    });
  }

  async #ask(path: string, fields: Record<string, string>): Promise<Answer> {
    const sids = { AccountSid: this.#accountSid, CallSid: this.callSid };
    const answer = await askWebhook(this.#options, path, { ...sids, ...fields });
    if (answer.twiml === undefined) this.#emit({ type: 'warning', code: 11200, detail: answer.reason });
    return answer;
  }

  #emit(happening: Happening): void {
    if (happening.type === 'warning') this.warnings.push({ code: happening.code, detail: happening.detail });
    this.#options.onEvent?.({ ...happening, at: this.ageMs });
  }
}

function sid(prefix: string): string {
  return prefix + randomBytes(16).toString('hex');
}
