import type { ClientEvent, ServerEvent } from './openai.ts';
import { Playback } from './playback.ts';
import { Timeline } from './timeline.ts';
import { audioMs, BYTES_PER_MS, type TwilioCommand, type TwilioMessage } from './twilio.ts';

/** A message to send, and the socket that it belongs on. */
export type Outgoing = { to: 'twilio'; message: TwilioCommand } | { to: 'openai'; message: ClientEvent };

/** How much of what the caller says before the session is ready is kept, in ms. */
const EARLY_MS = 10_000;
/** How much of a gap in the caller's audio is filled, in ms. */
const GAP_MS = 10_000;
/** A caller who falls silent in mid-sentence is muted after this long, in ms... */
const MUTED_AFTER_MS = 750;
/** ...and this much silence ends the turn. */
const MUTED_FILL_MS = 1_000;

/** Late audio can only come for the last few responses that were interrupted. */
const INTERRUPTED_KEPT = 100;

/**
 * One conversation: messages in, messages out, in the order in which they must be sent.
 *
 * It does no I/O; `now` is the process's monotonic clock in ms.
 */
export class Call {
  readonly #streamSid: string;
  readonly #timeline: Timeline;
  readonly #playback = new Playback();
  /** What the caller said before the session was ready; undefined from then on. */
  #early: { audio: string; ms: number }[] | undefined = [];
  #earlyMs = 0;
  #callerSpeaks = false;
  #lastFrameAt: number;
  /** The response that is being generated. */
  #response: string | undefined;
  readonly #interrupted = new Set<string>();

  /** Frames of audio each way, what was lost and made up, and how often the caller cut in. */
  readonly counts = { framesUp: 0, framesDown: 0, earlyFramesDropped: 0, gapsFilled: 0, bargeIns: 0 };

  constructor(streamSid: string, now: number) {
    this.#streamSid = streamSid;
    this.#timeline = new Timeline(now);
    this.#lastFrameAt = now;
  }

  /** The session takes audio from now on: greets, then passes on what the caller has said meanwhile. */
  ready(greeting: string): Outgoing[] {
    const early = this.#early ?? [];
    this.#early = undefined;
    return [
      ...(greeting === ''
        ? []
        : [toOpenAI({ type: 'response.create', response: { instructions: greeting } })]),
      ...early.map(({ audio }) => toOpenAI({ type: 'input_audio_buffer.append', audio })),
    ];
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
        this.#response = event.response.id;
        return [];
      case 'response.output_audio.delta':
        return this.#delta(event.response_id, event.item_id, event.delta, now);
      case 'response.done':
        if (event.response.id === this.#response) this.#response = undefined;
        return [];
      case 'input_audio_buffer.speech_started':
        this.#callerSpeaks = true;
        return this.#bargeIn(now);
      case 'input_audio_buffer.speech_stopped':
        this.#callerSpeaks = false;
        return [];
      default:
        return [];
    }
  }

  /** Ends the turn of a caller from whom no frames come in mid-sentence; to be asked a few times a second. */
  muted(now: number): Outgoing[] {
    if (!this.#callerSpeaks || now - this.#lastFrameAt < MUTED_AFTER_MS) return [];
    this.#callerSpeaks = false;
    this.#timeline.fill(MUTED_FILL_MS);
    return this.#silence(MUTED_FILL_MS);
  }

  #media(timestamp: number, payload: string, now: number): Outgoing[] {
    const ms = audioMs(payload);
    const missing = this.#timeline.frame(timestamp, ms, now);
    this.#lastFrameAt = now;
    this.counts.framesUp += 1;
    const frame = this.#append(payload, ms);
    return missing === 0 ? frame : [...this.#silence(Math.min(missing, GAP_MS)), ...frame];
  }

  #silence(ms: number): Outgoing[] {
    this.counts.gapsFilled += 1;
    return this.#append(Buffer.alloc(ms * BYTES_PER_MS, 0xff).toString('base64'), ms);
  }

  #append(audio: string, ms: number): Outgoing[] {
    if (this.#early === undefined) return [toOpenAI({ type: 'input_audio_buffer.append', audio })];
    this.#early.push({ audio, ms });
    this.#earlyMs += ms;
    for (let oldest = this.#early[0]; oldest && this.#earlyMs > EARLY_MS; oldest = this.#early[0]) {
      this.#early.shift();
      this.#earlyMs -= oldest.ms;
      this.counts.earlyFramesDropped += 1;
    }
    return [];
  }

  #delta(responseId: string, itemId: string, delta: string, now: number): Outgoing[] {
    const ms = audioMs(delta);
    if (ms === 0 || this.#interrupted.has(responseId)) return [];
    this.#response = responseId;
    this.counts.framesDown += 1;
    const name = this.#playback.sent(itemId, ms, this.#timeline.clock(now));
    const streamSid = this.#streamSid;
    return [
      { to: 'twilio', message: { event: 'media', streamSid, media: { payload: delta } } },
      { to: 'twilio', message: { event: 'mark', streamSid, mark: { name } } },
    ];
  }

  #bargeIn(now: number): Outgoing[] {
    if (this.#response !== undefined) this.#interrupt(this.#response);
    const cuts = this.#playback.interrupt(this.#timeline.clock(now));
    if (cuts.length === 0) return [];
    this.counts.bargeIns += 1;
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
}

function toOpenAI(message: ClientEvent): Outgoing {
  return { to: 'openai', message };
}
