import type { Socket } from 'node:net';
import type { FastifyBaseLogger } from 'fastify';
import type { WebSocket } from 'ws';
import { ENDINGS, type Reason } from '../failure.ts';
import type { ThrottledLog } from '../log.ts';
import { loggable } from '../wire/loggable.ts';
import { floodDetector, isStalled, TEXT, untilClosed, watch } from '../wire/socket.ts';
import {
  encodeTwilioCommand,
  parseTwilioMessage,
  type Start,
  type TwilioCommand,
  type TwilioMessage,
} from '../wire/twilio.ts';
import { readDetails } from '../wire/webhook.ts';
import { refusal, type Used } from './admission.ts';
import { whoAnswers } from './answer.ts';
import { Call, type Shared } from './call.ts';
import type { Preparations } from './preparations.ts';
import type { Stream, Streams } from './streams.ts';

/** What every stream shares. */
export interface RelayOptions extends Shared {
  streams: Streams;
  preparations: Preparations;
  used: Used;
  refusals: ThrottledLog;
}

/** How long Twilio may take to start a stream that it has opened, in ms. */
const START_MS = 10_000;

/**
 * Carries a call between Twilio's socket and its session, until either is over; then both are.
 *
 * `tcp` is the connection below Twilio's socket.
 */
export function relay(
  twilio: WebSocket,
  tcp: Socket,
  options: RelayOptions,
  parentLog: FastifyBaseLogger,
): void {
  const { config, assistant, calls, streams, preparations, used, refusals } = options;
  const closed = untilClosed(twilio);
  const isFlooded = floodDetector(tcp);
  let ids = {};
  let streamSid: string | undefined;
  let call: Call | undefined;
  /** What comes while it is asked who answers. */
  let waiting: TwilioMessage[] = [];
  /** The call that it has proved to be of. */
  let admitted: string | undefined;
  let isOver = false;
  let ignored = 0;

  const startTimer = setTimeout(() => end('no start'), START_MS);
  const stream: Stream = {
    get hasStarted() {
      return call !== undefined;
    },
    tick() {
      const now = performance.now();
      if (isFlooded(now)) end('twilio flooded');
      else call?.tick(now);
    },
    end: (reason) => end(reason),
    conclude: (reason) => (call === undefined ? end(reason) : call.conclude(reason)),
  };
  streams.add(stream);
  if (streams.isShut) end('shutdown');
  void closed.then(() => call === undefined && streams.remove(stream));
  watch(twilio, tcp, 'bytes', () => end('twilio silent'));
  twilio.on('error', (err) => {
    // A close follows.
    if (call !== undefined) parentLog.warn({ ...ids, err }, 'media stream error');
    else refusals.warn(() => ({ ...ids, err }), 'media stream error');
  });
  twilio.on('close', (code) => end([1000, 1001, 1005].includes(code) ? 'twilio closed' : 'twilio lost'));
  twilio.on('message', (data, isBinary) => {
    if (isOver) return;
    const message = isBinary || !Buffer.isBuffer(data) ? undefined : parseTwilioMessage(data);
    if (streamSid === undefined) receiveFirst(message);
    else if (message === undefined || !receive(message)) ignored += 1;
  });

  /** Nothing comes before the start but `connected`. */
  function receiveFirst(message: TwilioMessage | undefined): void {
    if (message?.event === 'start') void start(message);
    else if (message?.event !== 'connected') end('no start');
  }

  /** Returns whether the message belongs to the stream that has started. */
  function receive(message: TwilioMessage): boolean {
    if (message.event === 'connected' || message.event === 'start') return false;
    if (message.streamSid !== streamSid) return false;
    if (message.event === 'stop') end('twilio stopped');
    else if (call === undefined) waiting.push(message);
    else call.fromTwilio(message);
    return true;
  }

  async function start(message: Start): Promise<void> {
    const { callSid, mediaFormat, customParameters } = message.start;
    clearTimeout(startTimer);
    ids = { callSid, streamSid: message.streamSid };
    const log = parentLog.child(ids);
    const { twilioAuthToken: authToken } = config;
    const isPrepared = preparations.has(callSid);
    const refused = refusal(message, { authToken, calls, used, isPrepared, now: Date.now() });
    if (refused === 'not mu-law 8000 mono') {
      const format = loggable(JSON.stringify(mediaFormat));
      log.warn({ format }, 'the stream is not in mu-law at 8000 Hz, mono');
    }
    if (refused === undefined || refused === 'busy') admitted = callSid;
    if (refused !== undefined) return end(refused);
    streamSid = message.streamSid;
    if (authToken !== undefined) used.token(callSid, customParameters.token ?? '', isPrepared);
    let begun = preparations.claim(callSid);
    if (begun === undefined) {
      // Another process answered the call, or its session has failed since.
      const abort = new AbortController();
      const info = { sid: callSid, ...readDetails(customParameters.call ?? ''), signal: abort.signal };
      const persona = await whoAnswers(assistant, info, log);
      if (isOver) return abort.abort();
      // Another stream of the same call may have begun it meanwhile.
      if (calls.isLive(callSid)) return end('call already live');
      if (persona === 'busy' || calls.isBusy) return end('busy');
      begun = new Call(info, abort, persona, options, log);
    }
    call = begun;
    call.attach(
      { streamSid, send, close: (code) => twilio.close(code), closed, ignored: () => ignored },
      log,
    );
    for (const early of waiting) call.fromTwilio(early);
    waiting = [];
    void call.finished.then(() => streams.remove(stream));
  }

  function send(commands: TwilioCommand[]): void {
    // Audio and its mark leave in one write.
    tcp.cork();
    for (const command of commands) twilio.send(encodeTwilioCommand(command), TEXT);
    tcp.uncork();
    if (isStalled(twilio)) end('twilio stalled');
  }

  /** The stream is over; so is its call. */
  function end(reason: Reason): void {
    if (isOver) return;
    isOver = true;
    clearTimeout(startTimer);
    if (call !== undefined) return call.end(reason);
    const isFailed = ENDINGS[reason].outcome === 'failed';
    if (isFailed && admitted && !calls.isLive(admitted)) calls.end(admitted, { say: assistant.apology });
    twilio.close(ENDINGS[reason].code);
    void closed.then((twilio) => {
      refusals.warn(() => ({ ...ids, reason, twilio }), 'stream ended before its call began');
    });
  }
}
