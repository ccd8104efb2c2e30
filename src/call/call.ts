import { verdict } from '../failure.ts';
import { audioMs } from '../wire/audio.ts';
import type { OpenAIError, ServerEvent } from '../wire/openai.ts';
import type { TwilioMessage } from '../wire/twilio.ts';
import { Caller } from './caller.ts';
import { type Effect, toOpenAI } from './effect.ts';
import { type Cut, Playback } from './playback.ts';
import { Replies } from './replies.ts';
import { Tally } from './tally.ts';

export interface CallOptions {
  streamSid: string;
  /** Whether the assistant speaks first. */
  greets: boolean;
  /** How much silence ends a turn at the latest, in ms. */
  turnEndMs: number;
}

/**
 * One conversation: takes messages, and returns what must be done about them, in order.
 *
 * It does no I/O; `now` is the process's monotonic clock in ms, and the call begins when this is made.
 */
export class Call {
  readonly #streamSid: string;
  readonly #caller: Caller;
  readonly #replies: Replies;
  readonly #playback = new Playback();
  readonly #tally: Tally;

  constructor({ streamSid, greets, turnEndMs }: CallOptions, now: number) {
    this.#streamSid = streamSid;
    this.#caller = new Caller(turnEndMs, now);
    this.#replies = new Replies(greets);
    this.#tally = new Tally(now);
  }

  /**
   * The session takes audio from now on: greets, then passes on what the caller has said meanwhile.
   *
   * In this order the greeting isn't asked for in the middle of the caller's turn, and is heard sooner.
   */
  sessionReady(now: number): Effect[] {
    this.#tally.sessionReady(now);
    return [...this.#replies.sessionReady(now), ...this.#caller.sessionReady()];
  }

  /** The session is gone, and another will be ready. */
  sessionLost(): void {
    this.#tally.redials += 1;
    this.#caller.sessionLost();
  }

  fromTwilio(message: TwilioMessage, now: number): Effect[] {
    switch (message.event) {
      case 'media':
        return this.#caller.frame(message.media.timestamp, message.media.payload, now);
      case 'mark':
        this.#playback.echoed(message.mark.name, this.#caller.clock(now));
        return [];
      default:
        return [];
    }
  }

  fromOpenAI(event: ServerEvent, now: number): Effect[] {
    switch (event.type) {
      case 'response.created':
        this.#replies.created(event.response.id);
        return [];
      case 'response.output_audio.delta':
        return this.#play(event.response_id, event.item_id, event.delta, now);
      case 'response.done':
        this.#tally.response(event.response);
        return this.#replies.done(event.response, now);
      case 'input_audio_buffer.speech_started':
        this.#caller.speechStarted();
        this.#replies.speechStarted(now);
        return this.#bargeIn(now);
      case 'input_audio_buffer.speech_stopped':
        this.#caller.speechStopped();
        this.#replies.speechStopped(now);
        return [];
      case 'error':
        return this.#error(event.error);
      default:
        return [];
    }
  }

  /** To be called a few times a second. */
  tick(now: number): Effect[] {
    const silence = this.#caller.tick(now);
    if (silence.length > 0) this.#replies.muted(now);
    return [...this.#replies.tick(now), ...silence];
  }

  /** What is known of the call when it is over, as it goes into the log. */
  summary(): object {
    const { retries } = this.#replies;
    return { ...this.#caller.counts, ...this.#tally.summary(retries) };
  }

  #play(responseId: string, itemId: string, delta: string, now: number): Effect[] {
    const ms = audioMs(delta);
    if (ms === 0) return [];
    // OpenAI would believe that it was heard.
    const clock = this.#caller.clock(now);
    const isDropped = this.#replies.isInterrupted(responseId) || this.#playback.isFull(clock);
    if (isDropped) return this.#playback.dropped(itemId).map(truncate);
    this.#tally.sound(this.#replies.heard(responseId, now), now);
    const streamSid = this.#streamSid;
    const name = this.#playback.sent(itemId, ms, clock);
    return [
      { to: 'twilio', message: { event: 'media', streamSid, media: { payload: delta } } },
      { to: 'twilio', message: { event: 'mark', streamSid, mark: { name } } },
    ];
  }

  #bargeIn(now: number): Effect[] {
    const cuts = this.#playback.interrupt(this.#caller.clock(now));
    if (cuts.length === 0) return [];
    this.#tally.bargeIns += 1;
    return [{ to: 'twilio', message: { event: 'clear', streamSid: this.#streamSid } }, ...cuts.map(truncate)];
  }

  /** By itself an error ends nothing: a close would follow. */
  #error(error: OpenAIError): Effect[] {
    this.#tally.error(error.code);
    return verdict({ reason: 'openai error', error }) === 'give up' ? [{ end: 'openai error', error }] : [];
  }
}

function truncate(cut: Cut): Effect {
  return toOpenAI({ type: 'conversation.item.truncate', content_index: 0, ...cut });
}
