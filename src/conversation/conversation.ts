import type { Failure } from '../failure.ts';
import { audioMs } from '../wire/audio.ts';
import type { ResponseDone, ServerEvent } from '../wire/openai.ts';
import type { TwilioMessage } from '../wire/twilio.ts';
import { ANSWER, aboutCaller, GO_ON, handover, WAIT } from './briefing.ts';
import { Caller } from './caller.ts';
import { type Effect, type End, textMessage, toOpenAI } from './effect.ts';
import { Farewell, MAX_SENTENCE_MS, SHORT_SENTENCE_MS } from './farewell.ts';
import { Keypad } from './keypad.ts';
import { type Cut, Playback } from './playback.ts';
import { Replies } from './replies.ts';
import { Tally } from './tally.ts';
import { outputOf, TIMED_OUT, type ToolInfo, type ToolResult, Tools } from './tools.ts';
import { Transcript } from './transcript.ts';

/** The most of OpenAI's audio that waits for the stream, in characters, with what each message adds: Twilio takes it at once. */
const MAX_HELD_CHARACTERS = 1_000_000;
const MESSAGE_CHARACTERS = 100;
/** How much of a session's silence counts as the caller's wait for the next one, in ms: that has 6 s left. */
const MAX_UNHEARD_MS = 9_000;

/**
 * One conversation: takes messages and returns effects, in order; `now` is the process's monotonic clock in ms. It begins
 * while the phone rings: the assistant's first words wait for the stream, and the caller's for the session.
 */
export class Conversation {
  /** What a session is told at its beginning, and whether it speaks first: to greet, or to go on where another was lost. */
  readonly #about: Effect[];
  #handover: Effect[] = [];
  #speaks: boolean;
  readonly #replies = new Replies();
  readonly #tools: Tools;
  readonly #playback = new Playback((now) => this.#caller.clock(now));
  readonly #keypad = new Keypad();
  readonly #farewell = new Farewell();
  readonly transcript = new Transcript();
  readonly #caller: Caller;
  readonly tally: Tally;
  #streamSid: string | undefined;
  /** OpenAI's events that wait for the stream, and the tools' results that wait for a session. */
  #events: ServerEvent[] = [];
  #heldCharacters = 0;
  #results: [callId: string, ToolResult][] = [];
  /** The latest response when keys were told to the model. */
  #keysAfter: string | undefined;
  #isCatchingUp = false;
  #isOver = false;

  /** `turnEndMs` of silence end the caller's turn at the latest; the assistant speaks first if it `greets`. */
  constructor(
    turnEndMs: number,
    tools: readonly ToolInfo[],
    { greets, about }: { greets: boolean; about?: string | undefined },
    now: number,
  ) {
    this.#speaks = greets;
    this.#about = about ? [aboutCaller(about)] : [];
    this.#caller = new Caller(turnEndMs);
    this.#tools = new Tools(tools);
    this.tally = new Tally(now);
  }

  /** A session takes audio: asks for the greeting, if one is due, before the caller's words begin a turn. */
  sessionReady(now: number): Effect[] {
    this.tally.sessionReady(now);
    const items = [...this.#about, ...this.#handover];
    this.#replies.sessionReady(items.length, this.#speaks, this.#caller.turn.hasTurn, now);
    const audio = this.#caller.sessionReady();
    const results = this.#results.splice(0);
    const told = this.#catchUp(now, () => results.flatMap((result) => this.toolDone(...result, now)));
    return [...items, ...told, ...audio];
  }

  /** The session, `heardAt` last, is gone, or left as it `isExpiring`; another will be ready. What was sent is still heard. */
  sessionLost(isExpiring: boolean, now: number, heardAt = now): void {
    if (!this.#caller.isSessionReady) return;
    const isSilent = isExpiring && this.isPause(now);
    if (isSilent) this.#answered();
    const goOn = this.#caller.turn.hasTurn ? ANSWER : GO_ON;
    const task = isSilent || this.#farewell.isSaid ? WAIT : (this.#farewell.unsaid ?? goOn);
    this.transcript.sessionLost(task === ANSWER);
    this.#events = [];
    this.#heldCharacters = 0;
    const { running } = this.#tools;
    this.#results = this.#tools.sessionLost();
    this.#playback.sessionLost();
    this.#caller.sessionLost();
    // A caller who spoke may have finished long ago.
    const since = this.#replies.isCallerSpeaking ? Math.max(heardAt, now - MAX_UNHEARD_MS) : now;
    this.#replies.sessionLost(task !== WAIT, since);
    if (!this.#replies.isBegun && running.length === 0) return;
    this.#handover = handover(this.transcript.newest(), running, task);
    this.#speaks = task !== WAIT;
  }

  /** Whether the caller wouldn't notice a switch to another session. */
  isPause(now: number): boolean {
    const isBusy = this.#tools.running.length > 0 || this.#keypad.isCollecting || this.#farewell.isPending;
    const isQuiet = this.#replies.isIdle && !this.#replies.isCallerSpeaking;
    return !isBusy && isQuiet && this.#playback.lateMs(now) >= 0;
  }

  /** Whether the caller has spoken since the last reply. */
  get isCallerWaiting(): boolean {
    return this.#caller.turn.hasTurn;
  }

  /** Has the assistant say a sentence, or goodbye, and then ends the call, which must end for that reason. */
  conclude(reason: End['end'], sentence: string, now: number): Effect[] {
    if (this.#streamSid === undefined || !this.#caller.isSessionReady) return this.fail({ reason }, now);
    const playsMs = this.#replies.isIdle ? Math.max(0, -this.#playback.lateMs(now)) : Infinity;
    // A process that stops has less time.
    const isShutdown = reason === 'shutdown';
    const mayFinish = playsMs < (isShutdown ? SHORT_SENTENCE_MS : MAX_SENTENCE_MS);
    const from = mayFinish && !isShutdown ? now + playsMs : now;
    const task = this.#farewell.conclude(reason, sentence, this.#replies.latest, from);
    if (task === undefined) return [];
    const cut = mayFinish ? [] : this.#cut(this.#streamSid, now);
    return [...cut, ...this.#replies.cancel(), ...this.#tell([task], true, now)];
  }

  /** Nothing more can be said: ends the call, as it was to end anyway, but not before a goodbye that was said is heard. */
  fail(failure: Failure, now: number): Effect[] {
    if (!this.#farewell.isSaid) return [{ ...(this.#farewell.now ?? { end: failure.reason }), failure }];
    this.#farewell.conclude(failure.reason, '', undefined, now);
    this.sessionLost(false, now);
    return this.#goodbye(now);
  }

  /** The stream has started: what the assistant has said so far is played. */
  streamStarted(streamSid: string, now: number): Effect[] {
    this.#streamSid = streamSid;
    this.#caller.streamStarted(now);
    this.tally.streamStarted(now);
    this.#replies.watchdog.streamStarted(now);
    const events = this.#events.splice(0);
    return this.#catchUp(now, () => events.flatMap((event) => this.#receive(streamSid, event, now)));
  }

  /** Asks for responses only after all that has come meanwhile. */
  #catchUp(now: number, act: () => Effect[]): Effect[] {
    this.#isCatchingUp = true;
    const effects = act();
    this.#isCatchingUp = false;
    return [...effects, ...this.#owed(now)];
  }

  fromTwilio(message: TwilioMessage, now: number): Effect[] {
    if (message.event === 'media')
      return this.#caller.frame(message.media, this.#replies.isCallerSpeaking, now);
    if (message.event === 'dtmf') return this.#pressed(message.streamSid, message.dtmf.digit, now);
    if (message.event === 'mark') this.#playback.echoed(message.mark.name, now);
    return this.#goodbye(now);
  }

  fromOpenAI(event: ServerEvent, now: number): Effect[] {
    this.tally.listen(event);
    if (this.#streamSid !== undefined) return this.#receive(this.#streamSid, event, now);
    const isDelta = 'delta' in event;
    // What isn't known to be over would hold up all that follows: words go first.
    if (this.#heldCharacters > (isDelta ? MAX_HELD_CHARACTERS : 2 * MAX_HELD_CHARACTERS)) return [];
    this.#heldCharacters += JSON.stringify(event).length + MESSAGE_CHARACTERS;
    this.#events.push(event);
    return [];
  }

  #receive(streamSid: string, event: ServerEvent, now: number): Effect[] {
    this.transcript.listen(event);
    if ('response_id' in event) this.#replies.watchdog.working(now);
    switch (event.type) {
      case 'response.created':
        this.#tools.responseCreated();
        return this.#replies.created(event.response.id);
      case 'response.output_audio.delta':
        return this.#play(streamSid, event.response_id, event.item_id, event.delta, now);
      case 'response.output_item.done': {
        const { response_id, item } = event;
        const isLeft = this.#replies.isInterrupted(response_id);
        return this.#tell(this.#tools.called(response_id, item, now), !isLeft, now);
      }
      case 'response.done':
        return this.#responseDone(event.response, now);
      case 'conversation.item.added':
        this.#replies.itemAdded(event.item);
        return [];
      case 'input_audio_buffer.speech_started':
        this.#caller.turn.begin();
        this.#replies.speechStarted(now, this.#playback.lateMs(now) < 0);
        return this.#bargeIn(streamSid, now);
      case 'input_audio_buffer.timeout_triggered':
        return this.#timedOut(now);
      case 'input_audio_buffer.speech_stopped':
        this.#replies.turnEnded(now);
        return [];
      case 'error': {
        const failure = this.#replies.error(event.error, now);
        return failure === undefined ? [] : this.fail(failure, now);
      }
      default:
        return [];
    }
  }

  /** The assistant asks whether the caller is there: in vain if the caller still hears something, or the call is to end. */
  #timedOut(now: number): Effect[] {
    const isCut = this.#playback.lateMs(now) < 0 || this.#farewell.isPending;
    this.#replies.turnEnded(now, { isQuestion: true, isCut });
    // A caller who waits for a tool is right to be silent.
    if (isCut || this.#tools.areAwaited(this.#replies.isInterrupted)) return [];
    const task = this.#farewell.timedOut(this.#replies.latest);
    return task === undefined ? [] : [...this.#replies.cancel(), ...this.#tell([task], true, now)];
  }

  #responseDone(response: ResponseDone, now: number): Effect[] {
    const { id, status, isEmpty } = response;
    const isCut = this.#replies.isInterrupted(id);
    const isSaid = this.#replies.hasSpoken(id) && ['completed', 'incomplete'].includes(status);
    const isSilent = isEmpty && !isCut;
    // One that only calls a tool is no goodbye, nor one that the caller has cancelled; another is to say what it hasn't seen.
    if ((isSaid || isSilent) && this.#replies.hasSeenAll(id)) {
      this.#farewell.responseDone(id);
      this.#tools.responseSaid();
    }
    if (isSilent) this.#answered();
    const failure = this.#replies.done(response, now);
    if (failure !== undefined) return this.fail(failure, now);
    return [...this.#owed(now), ...this.#goodbye(now)];
  }

  toolDone(callId: string, result: ToolResult, now: number): Effect[] {
    if (!this.#caller.isSessionReady) {
      this.#results.push([callId, result]);
      return [];
    }
    const tool = this.#tools.finished(callId, result);
    if (tool === undefined) return [];
    const { responseId } = tool;
    const { latest = responseId } = this.#replies;
    const isLeft = this.#replies.isInterrupted(responseId);
    const isRepeated = tool.isOrphan && this.#caller.turn.hasTurn;
    const hasCutIn = isLeft || isRepeated || this.#replies.isCallersTurn || this.#keypad.isCollecting;
    const isLast = responseId === latest && responseId !== this.#keysAfter;
    const hasSpoken = isLast && this.#replies.hasSpoken(responseId);
    const isSaid = 'ends' in result && hasSpoken && !hasCutIn;
    const told = 'output' in result ? result : this.#farewell.begin(result.ends, latest, isSaid, hasCutIn);
    const effects = this.#tell([outputOf(callId, tool, told)], !isLeft && !isSaid, now);
    return isSaid ? [...effects, ...this.#goodbye(now)] : effects;
  }

  /** To be called a few times a second. */
  tick(now: number): Effect[] {
    if (this.#streamSid === undefined) return [];
    const timedOut = this.#tools
      .overdue(now)
      .flatMap((failed) => [failed, ...this.toolDone(failed.callId, TIMED_OUT, now)]);
    const silence = this.#caller.tick(this.#replies.isCallerSpeaking, now);
    if (silence.length > 0) this.#replies.watchdog.start(now);
    const isToolAwaited = this.#areLatestToolsAwaited && !this.#replies.isCallersTurn;
    const isBusy = isToolAwaited || this.#playback.lateMs(now) < 0;
    if (this.#replies.isOverdue(isBusy, now)) return this.fail({ reason: 'no reply' }, now);
    return [...timedOut, ...this.#keys(now), ...silence, ...this.#owed(now), ...this.#goodbye(now)];
  }

  /** The call is over: what is still unheard never will be. */
  over(now: number): void {
    this.#isOver = true;
    this.#truncate(this.#playback.interrupt(now));
  }

  /** What the log has of a call that is over; `redials` are those of its sessions. */
  summary(redials: number): object {
    return { ...this.#caller.counts, ...this.tally.summary(this.#replies.retries + redials) };
  }

  /** Whether a tool of the latest response runs: only those hold up what follows it. */
  get #areLatestToolsAwaited(): boolean {
    const { latest, isInterrupted } = this.#replies;
    return this.#tools.areAwaited((id) => id !== latest || isInterrupted(id));
  }

  #owed(now: number): Effect[] {
    if (this.#isCatchingUp) return [];
    if (this.#farewell.isSaid) this.#replies.settle();
    return this.#replies.due(this.#areLatestToolsAwaited, now);
  }

  #play(streamSid: string, responseId: string, itemId: string, delta: string, now: number): Effect[] {
    const ms = audioMs(delta);
    if (ms === 0) return [];
    const isUnwanted = this.#replies.isInterrupted(responseId) || this.#farewell.isAfter(responseId);
    // OpenAI would believe that it was heard.
    if (this.#isOver || isUnwanted || this.#playback.isFull(now))
      return this.#truncate(this.#playback.dropped(itemId));
    this.tally.sound(this.#replies.heard(responseId, now), now);
    this.#answered();
    const name = this.#playback.sent(itemId, ms, now);
    return [
      { to: 'twilio', message: { event: 'media', streamSid, media: { payload: delta } } },
      { to: 'twilio', message: { event: 'mark', streamSid, mark: { name } } },
    ];
  }

  /** The caller's turn needs no other answer. */
  #answered(): void {
    this.#caller.turn.answered();
    this.transcript.answered();
  }

  /** The caller speaks or presses a key over the assistant. The final goodbye is heard to its end. */
  #bargeIn(streamSid: string, now: number): Effect[] {
    const cut = this.#farewell.interrupted() ? this.#cut(streamSid, now) : [];
    this.tally.bargeIns += cut.length > 0 ? 1 : 0;
    return cut;
  }

  /** Clears what the caller hasn't heard. */
  #cut(streamSid: string, now: number): Effect[] {
    const cuts = this.#playback.interrupt(now);
    if (cuts.length === 0) return [];
    return [{ to: 'twilio', message: { event: 'clear', streamSid } }, ...this.#truncate(cuts)];
  }

  #truncate(cuts: Cut[]): Effect[] {
    return cuts.flatMap(({ item_id, audio_end_ms, isLost }) => {
      this.transcript.cut(item_id, audio_end_ms);
      if (isLost) return [];
      return toOpenAI({ type: 'conversation.item.truncate', item_id, content_index: 0, audio_end_ms });
    });
  }

  /** Sends items, to which OpenAI should respond if a response `isOwed`. */
  #tell(effects: Effect[], isOwed: boolean, now: number): Effect[] {
    this.#replies.sent(effects.filter((effect) => 'to' in effect).length, isOwed, now);
    return [...effects, ...this.#owed(now)];
  }

  #pressed(streamSid: string, digit: string, now: number): Effect[] {
    const cut = this.#keypad.isCollecting ? [] : this.#bargeIn(streamSid, now);
    // OpenAI doesn't hear a key, and goes on unless its response is cancelled.
    const cancelled = cut.length > 0 ? this.#replies.cancel() : [];
    this.tally.keysPressed += 1;
    this.#replies.isBegun = true;
    this.#keypad.press(digit, now);
    return [...cut, ...cancelled, ...this.#keys(now)];
  }

  #keys(now: number): Effect[] {
    const keys = this.#keypad.take(this.#caller.isSessionReady, now);
    if (!keys) return [];
    this.#keysAfter = this.#replies.latest;
    return this.#tell([textMessage('user', this.transcript.keys(keys))], true, now);
  }

  /** Ends the call once the goodbye was heard. */
  #goodbye(now: number): Effect[] {
    const isIdle = this.#replies.isIdle && !this.#areLatestToolsAwaited && !this.#keypad.isCollecting;
    return this.#farewell.due(isIdle, this.#playback.isHeard, this.#playback.lateMs(now), now);
  }
}
