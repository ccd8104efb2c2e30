import type { Socket } from 'node:net';
import type { FastifyBaseLogger } from 'fastify';
import type { WebSocket } from 'ws';
import { refusal, type UsedTokens } from './admission.ts';
import { Call } from './call/call.ts';
import type { Effect } from './call/effect.ts';
import type { Calls } from './calls.ts';
import { ENDINGS, type Failure, logFailure, type Reason } from './failure.ts';
import type { ThrottledLog } from './log.ts';
import { Session, type SessionListener, type SessionOptions } from './session.ts';
import { turnEndMs } from './session-update.ts';
import type { Standby } from './standby.ts';
import type { Stream, Streams } from './streams.ts';
import { loggable } from './wire/loggable.ts';
import { floodDetector, isStalled, TEXT, untilClosed, watch } from './wire/socket.ts';
import {
  encodeTwilioCommand,
  parseTwilioMessage,
  type Start,
  type TwilioCommand,
  type TwilioMessage,
} from './wire/twilio.ts';

/** What every relay shares. */
export interface RelayOptions extends SessionOptions {
  calls: Calls;
  streams: Streams;
  usedTokens: UsedTokens;
  refusals: ThrottledLog;
  standby: Standby;
}

/** How long Twilio may take to start a stream that it has opened, in ms. */
const START_MS = 10_000;

/** A stream that has started: its call, and all that must be stopped when it ends. */
interface Started {
  streamSid: string;
  callSid: string;
  at: number;
  call: Call;
  session: Session;
  limit: NodeJS.Timeout;
}

/**
 * Carries one call between Twilio's socket and a session of its own, until either is over; then both are.
 *
 * `tcp` is the connection below Twilio's socket.
 */
export function relay(
  twilio: WebSocket,
  tcp: Socket,
  options: RelayOptions,
  parentLog: FastifyBaseLogger,
): void {
  const { config, assistant, calls, streams, usedTokens, refusals, standby } = options;
  const twilioClosed = untilClosed(twilio);
  const isFlooded = floodDetector(tcp);
  let log = parentLog;
  let ids = {};
  let started: Started | undefined;
  let isOver = false;
  let ignored = 0;

  const startTimer = setTimeout(() => end('no start'), START_MS);
  const stream: Stream = {
    get hasStarted() {
      return started !== undefined;
    },
    tick() {
      const now = performance.now();
      if (isFlooded(now)) end('twilio flooded');
      else perform(started?.call.tick(now));
    },
    end: (reason) => end(reason),
  };
  streams.add(stream);
  watch(twilio, tcp, 'bytes', () => end('twilio silent'));
  twilio.on('error', (err) => {
    // A close follows.
    if (started !== undefined) log.warn({ err }, 'media stream error');
    else refusals.warn(() => ({ ...ids, err }), 'media stream error');
  });
  twilio.on('close', (code) => end([1000, 1001, 1005].includes(code) ? 'twilio closed' : 'twilio lost'));
  twilio.on('message', (data, isBinary) => {
    if (isOver) return;
    const message = isBinary || !Buffer.isBuffer(data) ? undefined : parseTwilioMessage(data);
    if (started === undefined) receiveFirst(message);
    else if (message === undefined || !receive(started, message)) ignored += 1;
  });

  /** Nothing comes before the start but `connected`. */
  function receiveFirst(message: TwilioMessage | undefined): void {
    if (message?.event === 'start') start(message);
    else if (message?.event !== 'connected') end('no start');
  }

  /** Returns whether the message belongs to the stream that has started. */
  function receive({ streamSid, call }: Started, message: TwilioMessage): boolean {
    if (message.event === 'connected' || message.event === 'start') return false;
    if (message.streamSid !== streamSid) return false;
    if (message.event === 'stop') end('twilio stopped');
    else perform(call.fromTwilio(message, performance.now()));
    return true;
  }

  function start(message: Start): void {
    const { streamSid } = message;
    const { callSid, mediaFormat, customParameters } = message.start;
    clearTimeout(startTimer);
    ids = { callSid, streamSid };
    log = parentLog.child(ids);
    const { twilioAuthToken: authToken } = config;
    const refused = refusal(message, { authToken, calls, usedTokens, now: Date.now() });
    if (refused === 'not mu-law 8000 mono') {
      const format = loggable(JSON.stringify(mediaFormat));
      log.warn({ format }, 'the stream is not in mu-law at 8000 Hz, mono');
    }
    if (refused !== undefined) return end(refused);
    usedTokens.add(callSid, customParameters.token ?? '');
    calls.begin(callSid);
    log.info('call started');
    const at = performance.now();
    const greets = assistant.greeting !== '';
    const call = new Call({ streamSid, greets, turnEndMs: turnEndMs(assistant.turnDetection) }, at);
    const standbySession = standby.take();
    const session = standbySession ?? new Session(options, log, sessionListener);
    const limit = setTimeout(() => end('time limit'), config.maxCallSeconds * 1_000);
    started = { streamSid, callSid, at, call, session, limit };
    standbySession?.handOver(sessionListener, log);
  }

  const sessionListener: SessionListener = {
    ready() {
      log.info({ sessionId: started?.session.id }, 'session ready');
      perform(started?.call.sessionReady(performance.now()));
    },
    event: (event) => perform(started?.call.fromOpenAI(event, performance.now())),
    redialling: () => started?.call.sessionLost(),
    failed: (failure) => end(failure.reason, failure),
  };

  function perform(effects: Effect[] = []): void {
    // Audio and its mark then leave in one write.
    if (effects.length > 1) tcp.cork();
    for (const effect of effects) {
      if (isOver) break;
      if ('end' in effect) end(effect.end, { reason: effect.end, error: effect.error });
      else if (effect.to === 'openai') started?.session.send(effect.message);
      else sendToTwilio(effect.message);
    }
    if (effects.length > 1) tcp.uncork();
  }

  function sendToTwilio(command: TwilioCommand): void {
    twilio.send(encodeTwilioCommand(command), TEXT);
    if (isStalled(twilio)) end('twilio stalled');
  }

  /** The only way out, for whatever reason, and only once. */
  function end(reason: Reason, failure: Failure = { reason }): void {
    if (isOver) return;
    isOver = true;
    clearTimeout(startTimer);
    const { outcome, code } = ENDINGS[reason];
    twilio.close(code);
    if (started !== undefined) {
      clearTimeout(started.limit);
      started.session.close();
      calls.end(started.callSid, outcome);
      const sessionId = started.session.id;
      if (outcome === 'failed') logFailure(log.child({ sessionId }), failure, 'call failed');
    }
    void logEnd(reason, performance.now());
  }

  /** Waits for both sides to close, since only then is it known how they did. */
  async function logEnd(reason: Reason, endedAt: number): Promise<void> {
    const [twilio, openai] = await Promise.all([twilioClosed, started?.session.closed]);
    if (started === undefined) {
      refusals.warn(() => ({ ...ids, reason, twilio }), 'stream ended before its call began');
    } else {
      const { session, at, call } = started;
      log.info(
        {
          sessionId: session.id,
          reason,
          durationMs: Math.round(endedAt - at),
          twilio,
          openai,
          ignored: { twilio: ignored, openai: session.ignored },
          ...call.summary(),
        },
        'call ended',
      );
    }
    streams.remove(stream);
  }
}
