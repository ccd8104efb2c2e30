import type { Socket } from 'node:net';
import type { FastifyBaseLogger } from 'fastify';
import type { WebSocket } from 'ws';
import type { Assistant } from './assistant.ts';
import { Call, type Outgoing } from './call/call.ts';
import type { Calls, Stream } from './calls.ts';
import type { Config } from './config.ts';
import { ENDINGS, type Reason } from './ending.ts';
import { type Failure, logFailure, remedy } from './openai-error.ts';
import { Session } from './session.ts';
import type { Standby } from './standby.ts';
import { isTokenGood } from './wire/auth.ts';
import type { ServerEvent } from './wire/openai.ts';
import { closed, isStalled, TEXT, watch } from './wire/socket.ts';
import {
  encodeTwilioCommand,
  isPhoneAudio,
  parseTwilioMessage,
  type Start,
  type TwilioMessage,
} from './wire/twilio.ts';

/** What every call shares. */
export interface Line {
  config: Config;
  assistant: Assistant;
  calls: Calls;
  standby: Standby;
}

/** How long Twilio may take to start a stream that it has opened, in ms. */
const START_MS = 10_000;
/** How many of OpenAI's errors are logged one by one; all are counted. */
const MOST_TROUBLES = 20;

/** A stream that has started: its call, and all that must be stopped when it ends. */
interface Leg {
  streamSid: string;
  callSid: string;
  startedAt: number;
  call: Call;
  session: Session;
  limit: NodeJS.Timeout;
}

/**
 * Carries one call between Twilio's socket and a session of its own, until either is over; then both are.
 *
 * `tcp` is the connection below Twilio's socket. The socket's errors are for whoever opened it to log: a close
 * follows each, and ends the call.
 */
export function relay(twilio: WebSocket, tcp: Socket, line: Line, parentLog: FastifyBaseLogger): void {
  const { config, assistant, calls, standby } = line;
  const twilioClosed = closed(twilio);
  let callLog = parentLog;
  let log = parentLog;
  let leg: Leg | undefined;
  let ended = false;
  let ignored = 0;
  let troubles = 0;

  const startTimer = setTimeout(() => end('no start'), START_MS);
  const stream: Stream = {
    tick: () => leg && send(leg.call.tick(performance.now())),
    shutDown: () => end('shutdown'),
  };
  calls.opened(stream);
  watch(twilio, tcp, () => end('twilio silent'));
  twilio.on('close', (code) => end([1000, 1001, 1005].includes(code) ? 'twilio closed' : 'twilio lost'));
  twilio.on('message', (data, isBinary) => {
    if (ended) return;
    const message = isBinary || !Buffer.isBuffer(data) ? undefined : parseTwilioMessage(data);
    if (message === undefined || !receive(message)) ignored += 1;
  });

  /** Answers whether the message belongs where it came. */
  function receive(message: TwilioMessage): boolean {
    if (message.event === 'connected') return leg === undefined;
    if (message.event === 'start') {
      if (leg !== undefined) return false;
      admit(message);
      return true;
    }
    if (message.streamSid !== leg?.streamSid) return false;
    if (message.event === 'stop') end('twilio stopped');
    else send(leg.call.fromTwilio(message, performance.now()));
    return true;
  }

  /** Lets the stream in if it is a call that this server, or another with the same token, has answered. */
  function admit(message: Start): void {
    const { callSid, mediaFormat, customParameters } = message.start;
    clearTimeout(startTimer);
    callLog = parentLog.child({ callSid, streamSid: message.streamSid });
    log = callLog;
    const { twilioAuthToken } = config;
    if (twilioAuthToken && !isTokenGood(twilioAuthToken, callSid, customParameters.token, Date.now())) {
      return end('bad token');
    }
    if (!isPhoneAudio(mediaFormat)) {
      log.warn({ mediaFormat }, 'the stream is not in mu-law at 8000 Hz, mono');
      return end('not mu-law 8000 mono');
    }
    if (calls.isLive(callSid)) return end('call already live');
    if (calls.isBusy) return end('busy');
    begin(message.streamSid, callSid);
  }

  function begin(streamSid: string, callSid: string): void {
    calls.begin(callSid);
    log.info('call started');
    const startedAt = performance.now();
    const call = new Call(streamSid, assistant.greeting, startedAt);
    const session = standby.take() ?? new Session(config, assistant);
    const limit = setTimeout(() => end('time limit'), config.maxCallSeconds * 1_000);
    leg = { streamSid, callSid, startedAt, call, session, limit };
    listen(leg, session.isReady);
  }

  /** Takes what the leg's session says. One that `mayBeDead` was on standby, and may have died unseen. */
  function listen(leg: Leg, mayBeDead: boolean): void {
    const { call, session } = leg;
    session.use({
      ready() {
        log = callLog.child({ sessionId: session.id });
        log.info('session ready');
        send(call.ready(performance.now()));
      },
      event(event) {
        mayBeDead = false;
        logTrouble(event);
        send(call.fromOpenAI(event, performance.now()));
      },
      redialled: (failure) => logRetry(leg, failure),
      failed(failure) {
        if (!mayBeDead || remedy(failure) !== undefined) return end(failure.reason, failure);
        logRetry(leg, failure);
        call.waitForAnother();
        // Others on standby may have died with it.
        leg.session = new Session(config, assistant);
        listen(leg, false);
      },
    });
  }

  function logRetry({ call }: Leg, failure: Failure): void {
    call.tally.retries += 1;
    log.warn(failure, 'dialling OpenAI once more');
  }

  function send(outgoing: Outgoing[]): void {
    // Audio and its mark then leave in one write.
    if (outgoing.length > 1) tcp.cork();
    for (const { to, message } of outgoing) {
      if (ended) break;
      if (to === 'openai') leg?.session.send(message);
      else if (to === 'relay') end(message.reason, message);
      else {
        twilio.send(encodeTwilioCommand(message), TEXT);
        if (isStalled(twilio)) end('twilio stalled');
      }
    }
    if (outgoing.length > 1) tcp.uncork();
  }

  /** The only way out, for whatever reason, and only once. */
  function end(reason: Reason, failure?: Failure): void {
    if (ended) return;
    ended = true;
    clearTimeout(startTimer);
    const { outcome, code } = ENDINGS[reason];
    twilio.close(code);
    if (leg !== undefined) {
      clearTimeout(leg.limit);
      leg.session.close();
      calls.end(leg.callSid, outcome);
    }
    if (outcome === 'failed' && leg !== undefined) logFailure(log, { ...failure, reason }, 'call failed');
    void logEnd(reason, performance.now());
  }

  function logTrouble(event: ServerEvent): void {
    if (event.type !== 'error' && (event.type !== 'response.done' || event.response.status !== 'failed'))
      return;
    troubles += 1;
    if (troubles > MOST_TROUBLES) return;
    if (event.type === 'error') log.warn({ error: event.error }, 'openai error');
    else log.warn({ error: event.response.error }, 'response failed');
  }

  /** Waits for both sides to close, since only then is it known how they did. */
  async function logEnd(reason: Reason, endedAt: number): Promise<void> {
    const [twilio, openai] = await Promise.all([twilioClosed, leg?.session.closed]);
    if (leg === undefined) {
      log.warn({ reason, twilio }, 'stream ended before its call began');
    } else {
      const durationMs = Math.round(endedAt - leg.startedAt);
      const ignoredMessages = { twilio: ignored, openai: leg.session.ignored };
      const tally = leg.call.tally.summary();
      log.info({ reason, durationMs, twilio, openai, ignored: ignoredMessages, ...tally }, 'call ended');
    }
    calls.closed(stream);
  }
}
