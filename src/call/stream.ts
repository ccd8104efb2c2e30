import type { Socket } from 'node:net';
import type { FastifyBaseLogger } from 'fastify';
import type { RawData, WebSocket } from 'ws';
import { ENDINGS, type Reason } from '../failure.ts';
import type { ThrottledLog } from '../log.ts';
import { after } from '../timers.ts';
import { type Close, floodDetector, isStalled, TEXT, untilClosed, watch } from '../wire/socket.ts';
import {
  encodeTwilioCommand,
  parseTwilioMessage,
  type Start,
  type TwilioCommand,
  type TwilioMessage,
} from '../wire/twilio.ts';
import type { Call } from './call.ts';
import type { Calls } from './calls.ts';
import { userCode } from './user-code.ts';

const START_MS = 10_000;
/** Messages before `start`, pings and pongs included: Twilio sends one. */
const MAX_BEFORE_START = 10;
/** What may come until the call has begun, in bytes: the frames of a stall, too. */
const MAX_STARTING_BYTES = 1_048_576;
const NORMAL_CLOSES = [1000, 1001, 1005];

/** What a stream needs of the server. */
interface Context {
  calls: Calls;
  refusals: ThrottledLog;
  log: FastifyBaseLogger;
  /** Called when the stream has started, or ends before. */
  onSettled(hasStarted: boolean): void;
}

/**
 * Twilio's socket of a call. When it ends, its call ends.
 *
 *     connecting ── start ──▶ starting ── its call may begin ──▶ started ──▶ over
 *         └── 10 s, or anything else ─┴── it may not ─────────────────────────▲
 */
export class Stream {
  streamSid = '';
  /** Messages that were ignored. */
  ignored = 0;
  /** Resolves when the socket is closed. */
  readonly closed: Promise<Close>;
  /** Whether too much is coming; to be asked a few times a second. */
  readonly isFlooded: (now: number) => boolean;
  readonly #socket: WebSocket;
  readonly #tcp: Socket;
  readonly #context: Context;
  readonly #abort = new AbortController();
  readonly #cancelStart: () => void;
  #state: 'connecting' | 'starting' | 'started' | 'over' = 'connecting';
  #ids: { callSid?: string; streamSid?: string } = {};
  #call: Call | undefined;
  #beforeStart = 0;
  /** Messages that came while the stream was starting. */
  #early: TwilioMessage[] = [];

  /** `tcp` is the connection below `socket`. */
  constructor(socket: WebSocket, tcp: Socket, context: Context) {
    this.closed = untilClosed(socket);
    this.isFlooded = floodDetector(tcp);
    this.#socket = socket;
    this.#tcp = tcp;
    this.#context = context;
    this.#cancelStart = after(START_MS, () => this.end('no start'));
    watch(socket, tcp, 'bytes', () => this.end('twilio silent'));
    for (const event of ['ping', 'pong']) socket.on(event, () => this.#limit());
    socket.on('message', (data, isBinary) => this.#message(data, isBinary));
    socket.on('error', (error) => this.#error(error));
    socket.on('close', (code) => this.end(NORMAL_CLOSES.includes(code) ? 'twilio closed' : 'twilio lost'));
  }

  /** Sends `commands` in one write: audio and its mark. */
  send(commands: TwilioCommand[]): void {
    this.#tcp.cork();
    for (const command of commands) this.#socket.send(encodeTwilioCommand(command), TEXT);
    this.#tcp.uncork();
    if (isStalled(this.#socket)) this.end('twilio stalled');
  }

  close(code: number): void {
    this.#state = 'over';
    this.#socket.close(code);
  }

  destroy(): void {
    this.#tcp.destroy();
  }

  /** Ends the stream, and its call. */
  end(reason: Reason): void {
    if (this.#state === 'over') return;
    this.#cancelStart();
    if (this.#call !== undefined) return this.#call.end(reason);
    this.#context.onSettled(false);
    userCode.run(this.#ids, () => this.#abort.abort());
    this.close(ENDINGS[reason].code);
    void this.closed.then((twilio) => {
      this.#context.refusals.warn(() => ({ ...this.#ids, reason, twilio }), 'stream rejected');
    });
  }

  /** Ends a flood before there is a call: its ticks notice later ones. */
  #limit(): void {
    if (this.#call !== undefined) return;
    if (this.#state === 'connecting') this.#beforeStart += 1;
    const isTooLong = this.#state === 'starting' && this.#tcp.bytesRead > MAX_STARTING_BYTES;
    if (this.#beforeStart <= MAX_BEFORE_START && !isTooLong) return;
    this.end('twilio flooded');
    this.destroy();
  }

  #message(data: RawData, isBinary: boolean): void {
    this.#limit();
    if (this.#state === 'over') return;
    const message = isBinary || !Buffer.isBuffer(data) ? undefined : parseTwilioMessage(data);
    if (this.#state === 'connecting') this.#first(message);
    else if (message === undefined || !('streamSid' in message) || message.streamSid !== this.streamSid)
      this.ignored += 1;
    else if (message.event === 'stop') this.end('twilio stopped');
    else if (message.event === 'start') this.ignored += 1;
    else if (this.#call === undefined) this.#early.push(message);
    else this.#call.fromTwilio(message);
  }

  /** Only `connected` precedes `start`. */
  #first(message: TwilioMessage | undefined): void {
    if (message?.event === 'start') this.#start(message).catch((error) => this.#failed(error));
    else if (message?.event !== 'connected') this.end('no start');
  }

  async #start(message: Start): Promise<void> {
    this.#state = 'starting';
    this.#cancelStart();
    this.streamSid = message.streamSid;
    this.#ids = { callSid: message.start.callSid, streamSid: message.streamSid };
    const log = this.#context.log.child(this.#ids);
    // Without a turn of promises where none is needed: a `stop` may follow at once.
    const claimed = this.#context.calls.claim(message, this.#abort, log);
    const call = claimed instanceof Promise ? await claimed : claimed;
    if (typeof call === 'string') return this.end(call);
    this.#state = 'started';
    this.#call = call;
    this.#context.onSettled(true);
    call.attach(this, log);
    for (const early of this.#early) call.fromTwilio(early);
    this.#early = [];
  }

  /** A fault of this server's ends the stream, and nothing else. */
  #failed(err: unknown): void {
    this.#context.log.error({ ...this.#ids, err }, 'stream failed');
    this.end('no start');
  }

  /** A close follows. */
  #error({ message: error }: Error): void {
    if (this.#call !== undefined) this.#context.log.warn({ ...this.#ids, error }, 'media stream error');
    else this.#context.refusals.warn(() => ({ ...this.#ids, error }), 'media stream error');
  }
}
