import { audioMs } from '../wire/audio.ts';
import type { FunctionCall, ResponseDone, ServerEvent } from '../wire/openai.ts';
import type { TwilioMessage } from '../wire/twilio.ts';
import { Caller } from './caller.ts';
import { type Effect, sound, textMessage, toOpenAI } from './effect.ts';
import { Farewell } from './farewell.ts';
import { Held } from './held.ts';
import { Keypad } from './keypad.ts';
import { type Cut, Playback } from './playback.ts';
import { Replies } from './replies.ts';
import { Tally } from './tally.ts';
import { functionOutput, OUTPUTS, type ToolInfo, type ToolResult, Tools } from './tools.ts';
import { Transcript } from './transcript.ts';

export interface CallOptions {
  /** Whether the assistant speaks first. */
  greets: boolean;
  /** How much silence ends a turn at the latest, in ms. */
  turnEndMs: number;
  tools: readonly ToolInfo[];
  /** What the model is told about this caller. */
  about?: string | undefined;
}

/**
 * One conversation: takes messages, and returns what must be done about them, in order.
 *
 * It does no I/O; `now` is the process's monotonic clock in ms. It begins while the phone still rings: what the assistant
 * says before the stream has started waits for it, as what the caller says waits for the session.
 */
export class Call {
  readonly #options: CallOptions;
  readonly #replies: Replies;
  readonly #tools: Tools;
  readonly #playback = new Playback();
  readonly #keypad = new Keypad();
  readonly #farewell = new Farewell();
  readonly #held = new Held();
  readonly transcript = new Transcript();
  readonly tally: Tally;
  #caller: Caller;
  #streamSid: string | undefined;

  constructor(options: CallOptions, now: number) {
    this.#options = options;
    this.#caller = new Caller(options.turnEndMs, now);
    this.#replies = new Replies(options.greets);
    this.#tools = new Tools(options.tools);
    this.tally = new Tally(now);
  }

  /**
   * The session takes audio from now on: greets, then passes on what the caller has said meanwhile.
   *
   * In this order the greeting isn't asked for in the middle of the caller's turn, and is heard sooner.
   */
  sessionReady(now: number): Effect[] {
    this.tally.sessionReady(now);
    this.#replies.sessionReady(now);
    const about = this.#options.about ? [textMessage('system', this.#options.about)] : [];
    return [...about, ...this.#owed(now), ...this.#caller.sessionReady()];
  }

  /** The session is gone, and another will be ready. */
  sessionLost(): void {
    this.tally.redials += 1;
    this.#tools.forget();
    this.#held.take();
    this.transcript.sessionLost();
    this.#caller.sessionLost();
  }

  /** The stream has started: what the assistant has said meanwhile is handed over as if it had just come. */
  streamStarted(streamSid: string, now: number): Effect[] {
    const wasReady = this.#caller.isSessionReady;
    this.#caller = new Caller(this.#options.turnEndMs, now);
    if (wasReady) this.#caller.sessionReady();
    this.#streamSid = streamSid;
    this.tally.streamStarted(now);
    this.#replies.streamStarted(now);
    return this.#held.take().flatMap((event) => this.#receive(streamSid, event, now));
  }

  fromTwilio(message: TwilioMessage, now: number): Effect[] {
    if (message.event === 'media') {
      return this.#caller.frame(message.media.timestamp, message.media.payload, now);
    }
    if (message.event === 'dtmf') return this.#pressed(message.streamSid, message.dtmf.digit, now);
    if (message.event !== 'mark') return [];
    this.#playback.echoed(message.mark.name, this.#caller.clock(now));
    return this.#goodbye(now);
  }

  fromOpenAI(event: ServerEvent, now: number): Effect[] {
    this.tally.listen(event);
    if (this.#streamSid !== undefined) return this.#receive(this.#streamSid, event, now);
    this.#held.add(event);
    return [];
  }

  #receive(streamSid: string, event: ServerEvent, now: number): Effect[] {
    this.transcript.listen(event);
    switch (event.type) {
      case 'response.created':
        this.#replies.created(event.response.id);
        return [];
      case 'response.output_audio.delta':
        return this.#play(streamSid, event.response_id, event.item_id, event.delta, now);
      case 'response.output_item.done':
        return this.#called(event.response_id, event.item, now);
      case 'response.done':
        return this.#done(event.response, now);
      case 'conversation.item.added':
        this.#replies.itemAdded(event.item);
        return [];
      case 'input_audio_buffer.speech_started':
        this.#caller.speechStarted();
        this.#replies.speechStarted(now);
        this.#farewell.interrupted();
        return this.#bargeIn(streamSid, now);
      case 'input_audio_buffer.speech_stopped':
        this.#caller.speechStopped();
        this.#replies.speechStopped(now);
        return [];
      case 'error':
        return this.#replies.error(event.error);
      default:
        return [];
    }
  }

  /** A tool that was run has come to something. */
  toolDone(callId: string, result: ToolResult, now: number): Effect[] {
    const responseId = this.#tools.finished(callId);
    if (responseId === undefined) return [];
    if ('output' in result) return this.#answer(callId, responseId, result.output, now);
    const { to } = result.ends;
    // A caller who has cut in meanwhile has kept the call.
    if (this.#replies.isInterrupted(responseId)) return [functionOutput(callId, OUTPUTS.interrupted)];
    const isSaid = this.#replies.hasSpoken(responseId);
    const output = this.#farewell.begin(to, responseId, isSaid);
    if (!isSaid) return this.#answer(callId, responseId, output, now);
    return [functionOutput(callId, output), ...this.#goodbye(now)];
  }

  /** To be called a few times a second. */
  tick(now: number): Effect[] {
    if (this.#streamSid === undefined) return [];
    const overdue = this.#tools.overdue(now);
    const failed = overdue.map(({ name }) => ({ failedTool: name, why: OUTPUTS.timedOut }));
    const told = overdue.flatMap(({ callId }) => this.toolDone(callId, { output: OUTPUTS.timedOut }, now));
    const keys = this.#sendKeys(now);
    const silence = this.#caller.tick(now);
    if (silence.length > 0) this.#replies.muted(now);
    if (this.#replies.isOverdue(this.#areToolsAwaited, now)) {
      // Whoever waits in vain for a goodbye isn't told that something has gone wrong.
      return [this.#farewell.overdue() ?? { end: 'no reply' }];
    }
    return [...failed, ...told, ...keys, ...silence, ...this.#owed(now), ...this.#goodbye(now)];
  }

  /** What is known of the call when it is over, as it goes into the log. */
  summary(): object {
    const { pressed } = this.#keypad;
    return { ...this.#caller.counts, keysPressed: pressed, ...this.tally.summary(this.#replies.retries) };
  }

  get #areToolsAwaited(): boolean {
    return this.#tools.areAwaited((responseId) => this.#replies.isInterrupted(responseId));
  }

  #owed(now: number): Effect[] {
    return this.#replies.due(this.#areToolsAwaited, now);
  }

  #play(streamSid: string, responseId: string, itemId: string, delta: string, now: number): Effect[] {
    const ms = audioMs(delta);
    if (ms === 0) return [];
    // OpenAI would believe that it was heard.
    const clock = this.#caller.clock(now);
    if (this.#replies.isInterrupted(responseId) || this.#playback.isFull(clock)) {
      return this.#truncate(this.#playback.dropped(itemId));
    }
    this.tally.sound(this.#replies.heard(responseId, now), now);
    const name = this.#playback.sent(itemId, ms, clock);
    return sound(streamSid, delta, name);
  }

  #bargeIn(streamSid: string, now: number): Effect[] {
    const cuts = this.#playback.interrupt(this.#caller.clock(now));
    if (cuts.length === 0) return [];
    this.tally.bargeIns += 1;
    return [{ to: 'twilio', message: { event: 'clear', streamSid } }, ...this.#truncate(cuts)];
  }

  #truncate(cuts: Cut[]): Effect[] {
    return cuts.map((cut) => {
      this.transcript.cut(cut.item_id, cut.audio_end_ms, this.#playback.lengthOf(cut.item_id));
      return toOpenAI({ type: 'conversation.item.truncate', content_index: 0, ...cut });
    });
  }

  #called(responseId: string, call: FunctionCall, now: number): Effect[] {
    const called = this.#tools.called(responseId, call, now);
    if (called === undefined || !('output' in called)) return called ? [called] : [];
    const failed = { failedTool: call.name, why: called.output };
    return [failed, ...this.#answer(call.call_id, responseId, called.output, now)];
  }

  /** Tells the model what came of a call; a caller who has moved on is owed nothing for it. */
  #answer(callId: string, responseId: string, output: string, now: number): Effect[] {
    if (!this.#replies.isInterrupted(responseId)) this.#replies.owe(now);
    return [functionOutput(callId, output), ...this.#owed(now)];
  }

  #done(response: ResponseDone, now: number): Effect[] {
    const effects = this.#replies.done(response, now);
    this.#farewell.responseDone(response.id);
    return [...effects, ...this.#owed(now), ...this.#goodbye(now)];
  }

  #pressed(streamSid: string, digit: string, now: number): Effect[] {
    const cut = this.#keypad.begins(digit) ? this.#interruptByKey(streamSid, now) : [];
    this.#keypad.press(digit, now);
    return [...cut, ...this.#sendKeys(now)];
  }

  /** OpenAI doesn't hear a key, and goes on with what it is saying unless told to stop. */
  #interruptByKey(streamSid: string, now: number): Effect[] {
    this.#farewell.interrupted();
    const cleared = this.#bargeIn(streamSid, now);
    return cleared.length === 0 ? [] : [...cleared, ...this.#replies.cancel()];
  }

  /** Keys wait for the session, as what the caller says does. */
  #sendKeys(now: number): Effect[] {
    const keys = this.#caller.isSessionReady ? this.#keypad.take(now) : undefined;
    if (keys === undefined) return [];
    this.#replies.owe(now);
    return [keys, ...this.#owed(now)];
  }

  /** Ends the call once the goodbye was heard. */
  #goodbye(now: number): Effect[] {
    if (!this.#farewell.isPending) return [];
    const isIdle = this.#replies.isIdle && !this.#areToolsAwaited && !this.#keypad.isCollecting;
    const lateMs = this.#playback.lateMs(this.#caller.clock(now));
    return this.#farewell.due(isIdle, this.#playback.isHeard, lateMs);
  }
}
