import { audioMs } from '../wire/audio.ts';
import type { ServerEvent } from '../wire/openai.ts';
import type { TwilioMessage } from '../wire/twilio.ts';
import { Briefing, type BriefingOptions } from './briefing.ts';
import { Caller } from './caller.ts';
import { addsItem, type Effect, type End, sound, truncate } from './effect.ts';
import { Farewell } from './farewell.ts';
import { Held } from './held.ts';
import { Keypad } from './keypad.ts';
import { type Cut, Playback } from './playback.ts';
import { Replies } from './replies.ts';
import { Tally } from './tally.ts';
import { outputOf, TIMED_OUT, type ToolInfo, type ToolResult, Tools } from './tools.ts';
import { Transcript } from './transcript.ts';

export interface ConversationOptions extends BriefingOptions {
  /** How much silence ends a turn at the latest, in ms. */
  turnEndMs: number;
  tools: readonly ToolInfo[];
}

/**
 * One conversation: takes messages, and returns what must be done about them, in order. It does no I/O; `now` is the process's
 * monotonic clock in ms. It begins while the phone still rings: what the assistant says before the stream has started waits
 * for it, as what the caller says waits for the session.
 */
export class Conversation {
  readonly #briefing: Briefing;
  readonly #replies = new Replies();
  readonly #tools: Tools;
  readonly #playback = new Playback();
  readonly #keypad = new Keypad();
  readonly #farewell = new Farewell();
  readonly #held = new Held();
  readonly transcript = new Transcript();
  readonly #caller: Caller;
  readonly tally: Tally;
  #streamSid: string | undefined;

  constructor(options: ConversationOptions, now: number) {
    this.#briefing = new Briefing(options);
    this.#caller = new Caller(options.turnEndMs, now);
    this.#tools = new Tools(options.tools);
    this.tally = new Tally(now);
  }

  /**
   * The session takes audio from now on: greets, or goes on, then passes on what the caller has said meanwhile. In this order
   * the greeting isn't asked for in the middle of the caller's turn, and is heard sooner.
   */
  sessionReady(now: number): Effect[] {
    this.tally.sessionReady(now);
    const { items, speaks } = this.#briefing;
    this.#replies.sessionReady(items.length, speaks, now);
    const effects = [...items, ...this.#owed(now), ...this.#caller.sessionReady()];
    return [...effects, ...this.#tools.kept().flatMap(([id, result]) => this.toolDone(id, result, now))];
  }

  /** The session is gone, or is left as it is about to expire, and another will be ready. What was sent is still heard. */
  sessionLost(isExpiring: boolean, now: number): void {
    if (!this.#caller.isSessionReady) return;
    const isSilent = isExpiring && this.isPause(now);
    this.transcript.sessionLost((itemId) => this.#playback.lengthOf(itemId));
    this.#held.take();
    this.#tools.sessionLost();
    this.#playback.sessionLost();
    this.#caller.sessionLost();
    const unsaid = this.#farewell.sessionLost();
    const speaks = !isSilent && (unsaid !== undefined || !this.#farewell.isPending);
    this.#replies.sessionLost(this.#briefing.isUnderWay && speaks, now);
    this.#briefing.sessionLost(this.transcript.newest(), this.#tools.running, speaks, unsaid);
  }

  /** Whether nobody would notice if another session took over. */
  isPause(now: number): boolean {
    const isBusy = this.#tools.running.length > 0 || this.#keypad.isCollecting || this.#farewell.isPending;
    return !isBusy && this.#replies.isPause && this.#playback.lateMs(this.#caller.clock(now)) >= 0;
  }

  /** How the call is to end, if it is, and nothing more is waited for. */
  get ending(): End | undefined {
    return this.#farewell.now;
  }

  /** Has the assistant say a sentence in its own voice, for the reason for which the call has to end, which it then does. */
  conclude(reason: End['end'], sentence: string, now: number): Effect[] {
    if (this.#streamSid === undefined || !this.#caller.isSessionReady) return [{ end: reason }];
    const task = this.#farewell.conclude(reason, sentence, this.#replies.latest, now);
    if (task === undefined) return [];
    return [
      ...this.#cut(this.#streamSid, now),
      ...this.#tell([...this.#replies.cancel(), task], undefined, now),
    ];
  }

  /** The stream has started: what the assistant has said meanwhile is handed over as if it had just come. */
  streamStarted(streamSid: string, now: number): Effect[] {
    this.#streamSid = streamSid;
    this.#caller.streamStarted(now);
    this.tally.streamStarted(now);
    this.#replies.streamStarted(now);
    return this.#held.take().flatMap((event) => this.#receive(streamSid, event, now));
  }

  fromTwilio(message: TwilioMessage, now: number): Effect[] {
    if (message.event === 'media') return this.#caller.frame(message.media, now);
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
        this.#tools.responseCreated();
        return [];
      case 'response.output_audio.delta':
        return this.#play(streamSid, event.response_id, event.item_id, event.delta, now);
      case 'response.output_item.done':
        return this.#tell(this.#tools.called(event.response_id, event.item, now), event.response_id, now);
      case 'response.done':
        if (!this.#replies.isInterrupted(event.response.id)) this.#farewell.responseDone(event.response.id);
        if (this.#replies.isSaid(event.response)) this.#tools.responseSaid();
        return [...this.#replies.done(event.response, now), ...this.#owed(now), ...this.#goodbye(now)];
      case 'conversation.item.added':
        this.#replies.itemAdded(event.item);
        return [];
      case 'input_audio_buffer.speech_started':
        this.#briefing.isUnderWay = true;
        this.#replies.speechStarted(now);
        return this.#bargeIn(streamSid, now);
      case 'input_audio_buffer.speech_stopped':
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
    const tool = this.#tools.finished(callId, result, this.#caller.isSessionReady);
    if (tool === undefined) return [];
    const { responseId } = tool;
    const isLeft = this.#replies.isInterrupted(responseId);
    const isSaid = 'ends' in result && this.#replies.hasSpoken(responseId);
    const told = 'output' in result ? result : this.#farewell.begin(result.ends, responseId, isSaid, isLeft);
    return this.#tell(outputOf(callId, tool, told), responseId, now, isSaid);
  }

  /** To be called a few times a second. */
  tick(now: number): Effect[] {
    if (this.#streamSid === undefined) return [];
    const timedOut = this.#tools.overdue(now).flatMap((callId) => this.toolDone(callId, TIMED_OUT, now));
    const silence = this.#caller.tick(this.#replies.isCallerSpeaking, now);
    if (silence.length > 0) this.#replies.muted(now);
    if (this.#replies.isOverdue(this.#areToolsAwaited, now)) {
      // Whoever waits in vain for a goodbye isn't told that something has gone wrong.
      return [this.ending ?? { end: 'no reply' }];
    }
    return [...timedOut, ...this.#keys(now), ...silence, ...this.#owed(now), ...this.#goodbye(now)];
  }

  /** What is known of the call when it is over, as it goes into the log; `redials` are the sessions' own retries. */
  summary(redials: number): object {
    const keysPressed = this.#keypad.pressed;
    return { ...this.#caller.counts, keysPressed, ...this.tally.summary(this.#replies.retries + redials) };
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
    this.#briefing.isUnderWay = true;
    return sound(streamSid, delta, this.#playback.sent(itemId, ms, clock));
  }

  #bargeIn(streamSid: string, now: number): Effect[] {
    this.#farewell.interrupted();
    const effects = this.#cut(streamSid, now);
    if (effects.length > 0) this.tally.bargeIns += 1;
    return effects;
  }

  /** Silences what the caller hasn't heard yet. */
  #cut(streamSid: string, now: number): Effect[] {
    const cuts = this.#playback.interrupt(this.#caller.clock(now));
    if (cuts.length === 0) return [];
    return [{ to: 'twilio', message: { event: 'clear', streamSid } }, ...this.#truncate(cuts)];
  }

  #truncate(cuts: Cut[]): Effect[] {
    return cuts.flatMap(({ item_id, audio_end_ms, isLost }) => {
      this.transcript.cut(item_id, audio_end_ms, this.#playback.lengthOf(item_id));
      return isLost ? [] : [truncate(item_id, audio_end_ms)];
    });
  }

  /** Sends up what owes a response, unless it `isEnough`, or the caller has moved on from the one that it came of. */
  #tell(effects: Effect[], responseId: string | undefined, now: number, isEnough = false): Effect[] {
    const isLeft = responseId !== undefined && this.#replies.isInterrupted(responseId);
    this.#replies.sent(effects.filter(addsItem).length, !isLeft && !isEnough, now);
    return [...effects, ...this.#owed(now), ...(isEnough ? this.#goodbye(now) : [])];
  }

  #pressed(streamSid: string, digit: string, now: number): Effect[] {
    const cut = this.#keypad.begins(digit) ? this.#bargeIn(streamSid, now) : [];
    // OpenAI doesn't hear a key, and goes on with what it is saying unless told to stop.
    const cancelled = cut.length > 0 ? this.#replies.cancel() : [];
    this.#keypad.press(digit, now);
    return [...cut, ...cancelled, ...this.#keys(now)];
  }

  #keys(now: number): Effect[] {
    return this.#tell(this.#keypad.take(this.#caller.isSessionReady, now), undefined, now);
  }

  /** Ends the call once the goodbye was heard. */
  #goodbye(now: number): Effect[] {
    if (!this.#farewell.isPending) return [];
    const isIdle = this.#replies.isIdle && !this.#areToolsAwaited && !this.#keypad.isCollecting;
    const lateMs = this.#playback.lateMs(this.#caller.clock(now));
    return this.#farewell.due(isIdle, this.#playback.isHeard, lateMs, now);
  }
}
