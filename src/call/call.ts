import type { Reason } from '../ending.ts';
import { type Failure, isFatal, type OpenAIError } from '../openai-error.ts';
import { audioMs, silence } from '../wire/audio.ts';
import type { ClientEvent, ResponseDone, ServerEvent } from '../wire/openai.ts';
import type { TwilioCommand, TwilioMessage } from '../wire/twilio.ts';
import { Playback } from './playback.ts';
import { Tally } from './tally.ts';
import { Timeline } from './timeline.ts';

/** A message to send, and the socket that it belongs on; or, to the relay itself, why the call must end. */
export type Outgoing =
  | { to: 'twilio'; message: TwilioCommand }
  | { to: 'openai'; message: ClientEvent }
  | { to: 'relay'; message: Failure };

/** How much of what the caller says before the session is ready is kept, in ms. */
const MOST_EARLY_MS = 10_000;
/** How much of a gap in the caller's audio is filled, in ms. */
const MOST_GAP_MS = 10_000;
/** A caller from whom nothing comes in mid-sentence is muted after this long, in ms... */
const MUTED_AFTER_MS = 750;
/** ...and this much silence ends the turn. */
const MUTED_FILL_MS = 1_000;
/** How long the caller may wait to hear something, in ms. */
const REPLY_MS = 15_000;
/** How many interrupted responses are remembered: late audio can only come for the last few. */
const INTERRUPTED_KEPT = 100;

/**
 * One conversation: messages in, messages out, in the order in which they must be sent.
 *
 * It does no I/O; `now` is the process's monotonic clock in ms, and the call begins when this is made.
 */
export class Call {
  readonly tally = new Tally();
  readonly #streamSid: string;
  readonly #greeting: string;
  readonly #began: number;
  readonly #timeline: Timeline;
  readonly #playback = new Playback();
  readonly #interrupted = new Set<string>();
  /** What the caller said before the session was ready; undefined once it is, as nothing waits then. */
  #early: { audio: string; ms: number }[] | undefined = [];
  #earlyMs = 0;
  #readyAt = 0;
  #callerSpeaks = false;
  #callerHasSpoken = false;
  /** Since when the caller has been waiting to hear something: a reply, or the greeting. */
  #waiting: { since: number; forReply: boolean } | undefined;
  /** The last response, whether it is still being generated, playing, or over. */
  #lastResponse: string | undefined;
  #lastFailed = false;

  /** `greeting` tells the assistant how to open the call; if it is empty, the caller speaks first. */
  constructor(streamSid: string, greeting: string, now: number) {
    this.#streamSid = streamSid;
    this.#greeting = greeting;
    this.#began = now;
    this.#timeline = new Timeline(now);
  }

  /**
   * The session takes audio from now on: greets, then passes on what the caller has said meanwhile.
   *
   * In this order the greeting isn't asked for in the middle of the caller's turn, and is heard sooner.
   */
  ready(now: number): Outgoing[] {
    this.#readyAt = now;
    this.tally.readyMs = Math.round(now - this.#began);
    const early = this.#early ?? [];
    this.#early = undefined;
    this.#earlyMs = 0;
    const appends = early.map(({ audio }) => toOpenAI({ type: 'input_audio_buffer.append', audio }));
    return this.#greeting === '' ? appends : [this.#respond(now), ...appends];
  }

  /** The session is gone, and another will be ready: what the caller says waits again. */
  waitForAnother(): void {
    this.#early ??= [];
  }

  fromTwilio(message: TwilioMessage, now: number): Outgoing[] {
    switch (message.event) {
      case 'media':
        return this.#media(message.media.timestamp, message.media.payload, now);
      case 'mark':
        this.#playback.echoed(message.mark.name, this.#timeline.clock(now));
        return [];
      default:
        return [];
    }
  }

  fromOpenAI(event: ServerEvent, now: number): Outgoing[] {
    switch (event.type) {
      case 'response.created':
        this.#lastResponse = event.response.id;
        return [];
      case 'response.output_audio.delta':
        return this.#delta(event.response_id, event.item_id, event.delta, now);
      case 'response.done':
        return this.#done(event.response, now);
      case 'input_audio_buffer.speech_started':
        this.#callerSpeaks = true;
        this.#waiting = undefined;
        return this.#bargeIn(now);
      case 'input_audio_buffer.speech_stopped':
        this.#callerSpeaks = false;
        this.#callerHasSpoken = true;
        this.#waiting = { since: now, forReply: true };
        return [];
      case 'error':
        this.tally.addError(event.error.code);
        return isFatal(event.error) ? [fails('openai error', event.error)] : [];
      default:
        return [];
    }
  }

  /** Ends the turn of a caller who is muted, and a wait that is too long; to be called a few times a second. */
  tick(now: number): Outgoing[] {
    if (this.#waiting !== undefined && now - this.#waiting.since >= REPLY_MS) return [fails('no reply')];
    if (!this.#callerSpeaks || this.#timeline.quietFor(now) < MUTED_AFTER_MS) return [];
    this.#callerSpeaks = false;
    this.#timeline.fill(MUTED_FILL_MS);
    return this.#silence(MUTED_FILL_MS);
  }

  #media(timestamp: number, payload: string, now: number): Outgoing[] {
    const ms = audioMs(payload);
    if (ms === 0) return [];
    const missing = this.#timeline.frame(timestamp, ms, now);
    this.tally.framesUp += 1;
    const frame = this.#append(payload, ms);
    return missing === 0 ? frame : [...this.#silence(Math.min(missing, MOST_GAP_MS)), ...frame];
  }

  #silence(ms: number): Outgoing[] {
    this.tally.gapsFilled += 1;
    return this.#append(silence(ms), ms);
  }

  #append(audio: string, ms: number): Outgoing[] {
    if (this.#early === undefined) return [toOpenAI({ type: 'input_audio_buffer.append', audio })];
    this.#early.push({ audio, ms });
    this.#earlyMs += ms;
    for (let oldest = this.#early[0]; oldest && this.#earlyMs > MOST_EARLY_MS; oldest = this.#early[0]) {
      this.#early.shift();
      this.#earlyMs -= oldest.ms;
      this.tally.earlyFramesDropped += 1;
    }
    return [];
  }

  #delta(responseId: string, itemId: string, delta: string, now: number): Outgoing[] {
    const ms = audioMs(delta);
    if (ms === 0 || this.#interrupted.has(responseId)) return [];
    this.#lastResponse = responseId;
    this.tally.framesDown += 1;
    this.tally.firstSoundMs ??= Math.round(now - this.#readyAt);
    if (this.#waiting?.forReply) this.tally.replyMs.push(Math.round(now - this.#waiting.since));
    this.#waiting = undefined;
    const name = this.#playback.sent(itemId, ms, this.#timeline.clock(now));
    const streamSid = this.#streamSid;
    return [
      { to: 'twilio', message: { event: 'media', streamSid, media: { payload: delta } } },
      { to: 'twilio', message: { event: 'mark', streamSid, mark: { name } } },
    ];
  }

  #bargeIn(now: number): Outgoing[] {
    if (this.#lastResponse !== undefined) this.#interrupt(this.#lastResponse);
    const cuts = this.#playback.interrupt(this.#timeline.clock(now));
    if (cuts.length === 0) return [];
    this.tally.bargeIns += 1;
    return [
      { to: 'twilio', message: { event: 'clear', streamSid: this.#streamSid } },
      ...cuts.map((cut) => toOpenAI({ type: 'conversation.item.truncate', content_index: 0, ...cut })),
    ];
  }

  #interrupt(responseId: string): void {
    this.#interrupted.add(responseId);
    const [oldest] = this.#interrupted;
    if (oldest !== undefined && this.#interrupted.size > INTERRUPTED_KEPT) this.#interrupted.delete(oldest);
  }

  #done({ id, status, error, usage }: ResponseDone, now: number): Outgoing[] {
    this.tally.addUsage(usage);
    const failedBefore = this.#lastFailed;
    this.#lastFailed = status === 'failed';
    if (!this.#lastFailed) return [];
    this.tally.addError(error?.code);
    if (failedBefore || isFatal(error)) return [fails('response failed', error)];
    // The caller has moved on: the next turn is answered anyway.
    if (this.#interrupted.has(id)) return [];
    this.tally.retries += 1;
    return [this.#respond(now)];
  }

  /** Asks for a response: the greeting, as long as neither side has said anything. */
  #respond(now: number): Outgoing {
    this.#waiting ??= { since: now, forReply: false };
    const isFirst = this.#greeting !== '' && this.tally.firstSoundMs === undefined && !this.#callerHasSpoken;
    return toOpenAI({
      type: 'response.create',
      ...(isFirst && { response: { instructions: this.#greeting } }),
    });
  }
}

function toOpenAI(message: ClientEvent): Outgoing {
  return { to: 'openai', message };
}

function fails(reason: Reason, error?: OpenAIError): Outgoing {
  return { to: 'relay', message: { reason, error } };
}
