import type { FastifyBaseLogger } from 'fastify';
import type { WebSocket } from 'ws';
import type { Assistant } from './assistant.ts';
import { Call, type Outgoing } from './call.ts';
import type { Config } from './config.ts';
import { Session } from './session.ts';
import { encodeTwilioCommand, parseTwilioMessage, type TwilioMessage } from './twilio.ts';

/** What every call shares. */
export interface Line {
  config: Config;
  assistant: Assistant;
  log: FastifyBaseLogger;
  /** The CallSids of the calls that are being relayed. */
  live: Set<string>;
}

/** How often a call looks whether its caller is muted, in ms. */
const TICK_MS = 250;

/**
 * Carries one call between Twilio's socket and a session of its own, until either is over; then both are.
 *
 * The socket's errors are the caller's to log: a close follows each, and ends the call.
 */
export function relay(twilio: WebSocket, line: Line): void {
  const { config, assistant, live } = line;
  let log = line.log;
  let leg:
    | { streamSid: string; callSid: string; call: Call; session: Session; tick: NodeJS.Timeout }
    | undefined;
  let ended = false;

  twilio.on('message', (data, isBinary) => {
    const message = isBinary ? undefined : parseTwilioMessage(data.toString());
    if (message !== undefined && !ended) receive(message);
  });
  twilio.on('close', (code, reason) => end('twilio closed', { twilio: { code, reason: reason.toString() } }));

  function receive(message: TwilioMessage): void {
    if (message.event === 'connected') return;
    if (message.event === 'start' && leg === undefined) {
      return begin(message.streamSid, message.start.callSid);
    }
    if (message.streamSid !== leg?.streamSid) return;
    if (message.event === 'stop') return end('twilio stopped');
    send(leg.call.fromTwilio(message, performance.now()));
  }

  function begin(streamSid: string, callSid: string): void {
    log = log.child({ callSid, streamSid });
    log.info('call started');
    live.add(callSid);
    const call = new Call(streamSid, performance.now());
    const session = new Session(config, assistant, {
      ready() {
        log.info('session ready');
        send(call.ready(assistant.greeting));
      },
      event: (event) => send(call.fromOpenAI(event, performance.now())),
      failed: (failure) => end('openai failed', { openai: failure }),
    });
    const tick = setInterval(() => send(call.muted(performance.now())), TICK_MS);
    leg = { streamSid, callSid, call, session, tick };
  }

  function send(outgoing: Outgoing[]): void {
    for (const { to, message } of outgoing) {
      if (to === 'twilio') twilio.send(encodeTwilioCommand(message));
      else leg?.session.send(message);
    }
  }

  function end(reason: string, details: object = {}): void {
    if (ended) return;
    ended = true;
    twilio.close(1000);
    if (leg !== undefined) {
      clearInterval(leg.tick);
      leg.session.close();
      live.delete(leg.callSid);
    }
    log.info({ reason, ...details, ...leg?.call.counts }, 'call ended');
  }
}
