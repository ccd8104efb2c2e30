import { expect, it } from 'vitest';
import { Conversation } from '../../src/conversation/conversation.ts';
import type { Effect } from '../../src/conversation/effect.ts';
import { BYTES_PER_MS } from '../../src/wire/audio.ts';
import type { ClientEvent, NewItem, ServerEvent } from '../../src/wire/openai.ts';
import { Phone } from '../simulator/phone.ts';
import { seeded } from '../support/random.ts';
import { rounds } from '../support/rounds.ts';
import {
  audio,
  cancelled,
  created,
  delta,
  done,
  echo,
  error,
  expected,
  frame,
  functionCall,
  itemAdded,
  outputAdded,
  press,
  STREAM,
  speechStarted,
  speechStopped,
} from '../support/wire.ts';

const { clear, mark, media, truncate } = expected;

/**
 * The caller's end of a call: an account of what was heard that owes nothing to `Playback`'s.
 *
 * A message takes `delay` ms each way. Audio and `clear` are equally late, so at the caller's end
 * everything happens as it does here, only later; an echo comes two delays after its audio was heard here.
 */
class FarEnd {
  readonly #delay: number;
  readonly #phone = new Phone();
  /** What was sent since the last `clear`, in order: so many ms, from where in which item. */
  readonly #sent: { item: string; from: number; ms: number; isLost?: boolean }[] = [];
  /** How many ms were sent of each item. */
  readonly #lengths = new Map<string, number>();
  /** Those that OpenAI was told of, or that are no business of the present session's. */
  readonly #cut = new Set<string>();
  readonly #echoes: { name: string; at: number }[] = [];

  constructor(delay: number) {
    this.#delay = delay;
  }

  /** Takes a delta of an item, and its mark. */
  play(item: string, ms: number, mark: string, now: number): void {
    this.#phone.media(new Uint8Array(ms * BYTES_PER_MS), now);
    this.#phone.mark(mark, now);
    const from = this.#lengths.get(item) ?? 0;
    this.#sent.push({ item, from, ms });
    this.#lengths.set(item, from + ms);
  }

  /** Returns what must be sent for a delta of an item whose response was interrupted. */
  drop(item: string): unknown[] {
    return this.#truncate(item, this.#lengths.get(item) ?? 0);
  }

  /** What was sent so far is never truncated: its session is gone. */
  lose(): void {
    for (const item of this.#lengths.keys()) this.#cut.add(item);
    for (const each of this.#sent) each.isLost = true;
  }

  /** When the next mark is reached or comes back. */
  get nextAt(): number {
    return Math.min(this.#phone.nextMarkAt, this.#echoes[0]?.at ?? Infinity);
  }

  /** The marks that have come back since this was asked for last. */
  echoes(now: number): string[] {
    this.#sendBack(this.#phone.advance(now), now);
    const back = this.#echoes.filter(({ at }) => at <= now);
    return this.#echoes.splice(0, back.length).map(({ name }) => name);
  }

  /** Empties the buffer, whose end is what was sent last; returns what must be sent for that. */
  interrupt(now: number): unknown[] {
    const cuts: unknown[] = [];
    let isUnheard = false;
    const sentMs = this.#sent.reduce((sum, { ms }) => sum + ms, 0);
    let heardMs = sentMs - this.#phone.bufferedMs(now);
    for (const { item, from, ms, isLost } of this.#sent.splice(0)) {
      isUnheard ||= heardMs < ms && (isLost || !this.#cut.has(item));
      if (heardMs < ms) cuts.push(...this.#truncate(item, from + Math.max(0, heardMs)));
      heardMs -= ms;
    }
    this.#sendBack(this.#phone.clear(now), now);
    return isUnheard ? [clear, ...cuts] : [];
  }

  /** Each item is truncated once. */
  #truncate(item: string, ms: number): unknown[] {
    if (this.#cut.has(item)) return [];
    this.#cut.add(item);
    return [truncate(item, ms)];
  }

  #sendBack(marks: { name: string }[], now: number): void {
    for (const { name } of marks) this.#echoes.push({ name, at: now + 2 * this.#delay });
  }
}

function conversation(seed: number): void {
  const random = seeded(seed);
  const upTo = (most: number) => Math.floor(random() * (most + 1));
  const farEnd = new FarEnd(upTo(60));
  const call = new Conversation(1_000, [], { greets: false }, 0);
  call.sessionReady(0);
  call.streamStarted(STREAM, 0);
  const interrupted: string[] = [];
  const forMarks: Effect[] = [];
  let now = 0;
  let muted = false;
  let responses = 0;
  let marks = 0;
  let response: string | undefined;

  function pass(ms: number): void {
    for (const until = now + ms; now < until; ) {
      now = Math.min(until, now + 20 - (now % 20), Math.max(now, farEnd.nextAt));
      if (!muted && now % 20 === 0) call.fromTwilio(frame(now), now);
      for (const name of farEnd.echoes(now)) forMarks.push(...call.fromTwilio(echo(name), now));
    }
  }

  function say(id: string, item: string, ms: number): Effect[] {
    return call.fromOpenAI(delta(id, item, ms), now);
  }

  /** One of the three items of a response, which take turns in any order. */
  const itemOf = (id: string) => `${id}-${upTo(2)}`;

  for (let step = 0; step < 40; step++) {
    switch (upTo(8)) {
      case 0:
        muted = !muted;
        break;
      case 1:
        if (response !== undefined) call.fromOpenAI(done(response), now);
        responses += 1;
        response = `response-${responses}`;
        call.fromOpenAI(created(response), now);
        break;
      case 2:
        if (response !== undefined) call.fromOpenAI(done(response), now);
        response = undefined;
        break;
      case 3: {
        const late = interrupted[upTo(interrupted.length - 1)];
        if (late === undefined) break;
        const item = itemOf(late);
        expect(say(late, item, 100)).toEqual(farEnd.drop(item));
        break;
      }
      case 4:
        expect(call.fromOpenAI(speechStarted, now)).toEqual(farEnd.interrupt(now));
        if (response !== undefined) interrupted.push(response);
        response = undefined;
        call.fromOpenAI(speechStopped, now);
        break;
      case 5:
        if (random() < 0.5) break;
        call.sessionLost(random() < 0.5, now);
        farEnd.lose();
        interrupted.length = 0;
        response = undefined;
        pass(upTo(1_000));
        call.sessionReady(now);
        break;
      default:
        if (response !== undefined) {
          const ms = 20 * (1 + upTo(20));
          marks += 1;
          const name = `audio-${marks}`;
          const item = itemOf(response);
          expect(say(response, item, ms)).toEqual([media(audio(ms)), mark(name)]);
          farEnd.play(item, ms, name, now);
        }
    }
    pass(random() < 0.3 ? 0 : upTo(400));
  }
  expect(forMarks).toEqual([]);
}

/** OpenAI's end of a call, as far as who speaks when: it is told what `Call` sends, and makes what events come of it. */
class Server {
  /** What it is about to send, in order. */
  readonly events: ServerEvent[] = [];
  /** The response that is being generated, and how many there were. */
  active: string | undefined;
  responses = 0;
  /** Calls that wait for their output, and the caller's turn in which each was made. */
  readonly unanswered = new Map<string, number>();
  /** The caller's turn, by speech and by key; and the one that `Call` knows of. */
  turn = 0;
  knownTurn = 0;
  /** Whether an item was added that no response has seen. */
  isOwed = false;
  isSpeaking = false;
  /** What its calls, which may outlive it, begin with. */
  readonly #name: string;
  #items = 0;

  constructor(name = '') {
    this.#name = name;
  }

  /** Takes what was sent to it. */
  take(message: ClientEvent): void {
    switch (message.type) {
      case 'response.create':
        if (this.active === undefined) this.begin();
        else this.events.push(error('conversation_already_has_active_response'));
        break;
      case 'response.cancel':
        if (this.active === message.response_id) this.finish('cancelled');
        else this.events.push(error('response_cancel_not_active'));
        break;
      case 'conversation.item.create':
        this.#add(message.item);
    }
  }

  begin(): void {
    this.responses += 1;
    this.active = `${this.#name}r${this.responses}`;
    this.isOwed = false;
    this.events.push(created(this.active));
  }

  finish(status: 'completed' | 'cancelled' = 'completed'): void {
    if (this.active === undefined) return;
    this.events.push(status === 'completed' ? done(this.active) : cancelled(this.active));
    this.active = undefined;
  }

  /** The model says something, or calls a tool. */
  say(ms: number): void {
    if (this.active !== undefined) this.events.push(delta(this.active, `a-${this.active}`, ms));
  }
  call(name: string, json: string): void {
    if (this.active === undefined) return;
    const callId = `call-${this.#name}${this.#nextItem()}`;
    this.unanswered.set(callId, this.turn);
    this.events.push(functionCall(this.active, callId, name, json));
  }

  /** The caller speaks, which cancels what is being said; and has spoken, so that turn detection makes a response. */
  speechStarts(): void {
    this.isSpeaking = true;
    this.turn += 1;
    this.isOwed = false;
    this.events.push(speechStarted);
    this.finish('cancelled');
  }
  speechStops(): void {
    this.isSpeaking = false;
    this.events.push(speechStopped, itemAdded(this.#nextItem(), { role: 'user' }));
    // A create of ours may have come first.
    if (this.active === undefined) this.begin();
  }

  #add(item: NewItem): void {
    let turn = this.knownTurn;
    if (item.type === 'message') {
      const [{ text }] = item.content;
      this.events.push(itemAdded(this.#nextItem(), { role: item.role, text }));
      // What was said so far owes nothing, and what came of a lost session's tool is not known to be for this turn.
      if (item.role === 'system') return;
    } else {
      // Each call is answered once.
      expect([...this.unanswered.keys()]).toContain(item.call_id);
      turn = this.unanswered.get(item.call_id) ?? -1;
      this.unanswered.delete(item.call_id);
      this.events.push(outputAdded(this.#nextItem()));
    }
    // A caller who has moved on since is owed nothing for it.
    if (turn === this.turn && this.knownTurn === this.turn) this.isOwed = true;
  }

  #nextItem(): string {
    this.#items += 1;
    return `item-${this.#items}`;
  }
}

const MS_BETWEEN_TICKS = 250;
const ACTING = ['quick', 'slow', 'bye'].map((name) => ({
  name,
  timeoutMs: name === 'slow' ? 60_000 : 10_000,
}));

function acting(seed: number): void {
  const random = seeded(seed);
  const upTo = (most: number) => Math.floor(random() * (most + 1));
  let server = new Server();
  const call = new Conversation(1_000, ACTING, { greets: random() < 0.5 }, 0);
  const running = new Map<string, string>();
  /** Those whose response the caller hasn't left. */
  const awaited = new Set<string>();
  /** Responses that the caller has left by a key, and that may still call one. */
  const left = new Set<string>();
  /** Marks of the audio that was sent and not cleared, and the response that is known. */
  let marks: string[] = [];
  let known: string | undefined;
  let isAsked = false;
  let isStarted = false;
  let ended: string | undefined;
  let now = 0;

  function perform(effects: Effect[]): void {
    for (const [index, effect] of effects.entries()) {
      if ('end' in effect) {
        expect(effects.slice(index + 1)).toEqual([]);
        if (effect.end === 'no reply')
          expect([...running.keys()].filter((callId) => awaited.has(callId))).toEqual([]);
        ended = effect.end;
        return;
      }
      if ('run' in effect) {
        expect(running.has(effect.callId)).toBe(false);
        running.set(effect.callId, effect.run);
        if (known === undefined || !left.has(known)) awaited.add(effect.callId);
      } else if ('failedTool' in effect) {
        expect(effect.why).not.toBe('');
      } else if (effect.to === 'twilio') {
        if (effect.message.event === 'mark') marks.push(effect.message.mark.name);
        if (effect.message.event === 'clear') {
          marks = [];
          awaited.clear();
          if (known !== undefined) left.add(known);
        }
      } else {
        if (effect.message.type === 'response.create') {
          // Never two that were asked for at once.
          expect(isAsked).toBe(false);
          expect(known).toBeUndefined();
          isAsked = true;
        }
        server.take(effect.message);
        if (effect.message.type === 'conversation.item.create') {
          const { item } = effect.message;
          if (item.type === 'function_call_output') running.delete(item.call_id);
        }
      }
    }
  }

  function deliver(most: number): void {
    for (let n = 0; n < most && ended === undefined; n++) {
      const event = server.events.shift();
      if (event === undefined) return;
      if (event.type === 'response.created') {
        known = event.response.id;
        isAsked = false;
      } else if (event.type === 'response.done') known = undefined;
      else if (event.type === 'error') isAsked = false;
      else if (event.type === 'input_audio_buffer.speech_started') {
        server.knownTurn += 1;
        awaited.clear();
      }
      perform(call.fromOpenAI(event, now));
    }
  }

  function pass(ms: number): void {
    for (const until = now + ms; now < until && ended === undefined; ) {
      now = Math.min(until, now + MS_BETWEEN_TICKS);
      perform(call.tick(now));
    }
  }

  function start(): void {
    if (isStarted) return;
    isStarted = true;
    perform(call.streamStarted(STREAM, now));
  }

  function finishTool(): void {
    const [callId, name] = [...running][upTo(running.size - 1)] ?? [];
    if (callId === undefined) return;
    running.delete(callId);
    if (name === 'bye') perform(call.toolDone(callId, { ends: { to: undefined } }, now));
    else perform(call.toolDone(callId, { output: '1' }, now));
    // Whoever finishes twice is answered once.
    perform(call.toolDone(callId, { output: '2' }, now));
  }

  /** Another session takes over from one that is lost, or left. */
  function lose(step: number): void {
    call.sessionLost(random() < 0.5, now);
    server = new Server(`${step}-`);
    known = undefined;
    isAsked = false;
    awaited.clear();
    left.clear();
    if (random() < 0.5) finishTool();
    if (random() < 0.5) pressKey();
    pass(upTo(2_000));
    if (ended === undefined) perform(call.sessionReady(now));
  }

  function pressKey(): void {
    if (!isStarted) return;
    const effects = call.fromTwilio(press('12#'.charAt(upTo(2))), now);
    if (effects.some((effect) => 'to' in effect && effect.to === 'twilio')) {
      server.turn += 1;
      server.knownTurn += 1;
      server.isOwed = false;
    }
    perform(effects);
  }

  /** A response that isn't known yet isn't over yet. */
  const finish = () => server.active === known && server.finish();

  perform(call.sessionReady(now));
  for (let step = 0; step < 40 && ended === undefined; step++) {
    switch (upTo(10)) {
      case 0:
        // Nobody is heard before the stream has started.
        if (server.isSpeaking) server.speechStops();
        else if (isStarted) server.speechStarts();
        break;
      case 1:
      case 2:
        finish();
        break;
      case 3:
        server.say(20 * (1 + upTo(100)));
        break;
      case 4:
        server.call(
          ['quick', 'slow', 'bye', 'unknown'][upTo(random() < 0.5 ? 1 : 3)] ?? '',
          random() < 0.9 ? '{}' : '{',
        );
        break;
      case 5:
        finishTool();
        break;
      case 6:
        pressKey();
        break;
      case 7: {
        const mark = marks.shift();
        if (mark !== undefined) perform(call.fromTwilio(echo(mark), now));
        break;
      }
      case 8:
        if (random() < 0.3) lose(step);
        break;
      case 9:
        if (running.size > 0 && random() < 0.3) pass(20_000);
        break;
      default:
        start();
    }
    deliver(upTo(4));
    pass(random() < 0.5 ? 0 : upTo(400));
  }

  // The dust settles.
  if (server.isSpeaking) server.speechStops();
  start();
  for (let n = 0; n < 60 && ended === undefined; n++) {
    deliver(Infinity);
    if (running.size > 0) finishTool();
    else finish();
    pass(500);
  }
  if (ended !== undefined) return;
  expect(server.active).toBeUndefined();
  expect([...server.unanswered]).toEqual([]);
  expect(server.isOwed).toBe(false);

  // A response that is created, and never done nor heard.
  server.speechStarts();
  server.speechStops();
  deliver(Infinity);
  pass(15_000);
  expect(ended).toMatch(/no reply|assistant hung up/);
}

/** Has so many random conversations, the same each time. */
function repeat(times: number, converse: (seed: number) => void): void {
  for (let seed = 1; seed <= times; seed++) {
    try {
      converse(seed);
    } catch (error) {
      throw new Error(`conversation ${seed}`, { cause: error });
    }
  }
}

it('Random conversations whose sessions are lost keep to the playback rules', {
  timeout: 60_000,
}, () => {
  repeat(rounds(10_000), conversation);
});

it('Random conversations with tools, keys and goodbyes owe nothing in the end', {
  timeout: 60_000,
}, () => {
  repeat(rounds(3_000), acting);
});
