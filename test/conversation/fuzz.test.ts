import { expect, it } from 'vitest';
import { Conversation } from '../../src/conversation/conversation.ts';
import type { Effect } from '../../src/conversation/effect.ts';
import { seeded } from '../support/random.ts';
import { repeat } from '../support/rounds.ts';
import { echo, press, STREAM } from '../support/wire.ts';
import { FuzzServer } from './fuzz-server.ts';

const MS_BETWEEN_TICKS = 250;
const TOOLS = ['quick', 'slow', 'bye'].map((name) => ({
  name,
  timeoutMs: name === 'slow' ? 60_000 : 10_000,
}));

function isToTwilio(effects: Effect[]): boolean {
  return effects.some((effect) => 'to' in effect && effect.to === 'twilio');
}

function conversation(seed: number): void {
  const random = seeded(seed);
  const upTo = (most: number) => Math.floor(random() * (most + 1));
  let server = new FuzzServer();
  const call = new Conversation(1_000, TOOLS, { greets: random() < 0.5 }, 0);
  const running = new Map<string, string>();
  /** Those whose response the caller hasn't left. */
  const awaited = new Set<string>();
  /** Responses that were cut, and may still call one; and those that were heard. */
  const left = new Set<string>();
  const heard = new Set<string>();
  /** Marks of the audio that was sent and not cleared, and the response that is known. */
  let marks: string[] = [];
  let known: string | undefined;
  let isAsked = false;
  let isStarted = false;
  /** Whether `Conversation` knows that the caller is speaking, and whether a key was pressed since. */
  let isSpeaking = false;
  let isPressed = false;
  let ended: string | undefined;
  let endsBy = Number.POSITIVE_INFINITY;
  let now = 0;

  function perform(effects: Effect[], history = 0): void {
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
        const { message } = effect;
        // Nothing is played over the caller, whatever was asked for.
        if (message.event === 'media' && isSpeaking) throw new Error('played over the caller');
        if (message.event === 'mark') marks.push(message.mark.name);
        if (message.event === 'clear') {
          marks = [];
          awaited.clear();
          if (known !== undefined) left.add(known);
        }
      } else {
        const { message } = effect;
        if (message.type === 'response.create') {
          // Never two that were asked for at once.
          expect(isAsked).toBe(false);
          expect(known).toBeUndefined();
          isAsked = true;
        }
        if (message.type === 'response.cancel') left.add(message.response_id);
        // The answer to the caller's turn isn't cancelled, but by a key.
        if (message.type === 'response.cancel' && !isPressed && endsBy === Number.POSITIVE_INFINITY)
          expect([...server.answers]).not.toContain(message.response_id);
        server.take(message, index < history);
        if (message.type === 'conversation.item.create' && message.item.type === 'function_call_output')
          running.delete(message.item.call_id);
      }
    }
  }

  function deliver(most: number): void {
    for (let n = 0; n < most && ended === undefined; n++) {
      server.read(upTo(2));
      const event = server.events.shift();
      if (event === undefined) return;
      switch (event.type) {
        case 'response.created':
          known = event.response.id;
          isAsked = false;
          break;
        case 'response.done':
          known = undefined;
          break;
        case 'error':
          isAsked = false;
          break;
        case 'input_audio_buffer.speech_started':
          server.knownTurn += 1;
          isSpeaking = true;
          awaited.clear();
          break;
        case 'input_audio_buffer.speech_stopped':
          isSpeaking = false;
          isPressed = false;
      }
      const effects = call.fromOpenAI(event, now);
      // What comes before the stream is heard when it starts.
      if (event.type === 'response.output_audio.delta' && (!isStarted || isToTwilio(effects)))
        heard.add(event.response_id);
      if (event.type === 'response.done') {
        const { id, status } = event.response;
        const isBroken = status === 'failed' || (status === 'incomplete' && !heard.has(id));
        if (isStarted && isBroken && !left.has(id)) server.broken(id);
      }
      perform(effects);
    }
  }

  function pass(ms: number): void {
    for (const until = now + ms; now < until && ended === undefined; ) {
      now = Math.min(until, now + MS_BETWEEN_TICKS);
      perform(call.tick(now));
      if (now >= endsBy + MS_BETWEEN_TICKS) throw new Error('not ended in time');
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
    server = new FuzzServer(`${step}-`);
    known = undefined;
    isAsked = false;
    isSpeaking = false;
    awaited.clear();
    left.clear();
    if (random() < 0.5) finishTool();
    if (random() < 0.5) pressKey();
    pass(upTo(2_000));
    if (ended !== undefined) return;
    const effects = call.sessionReady(now);
    // What was said comes first, and ends with the system's item.
    perform(effects, effects.findIndex((effect) => JSON.stringify(effect).includes('"system"')) + 1);
  }

  function pressKey(): void {
    if (!isStarted) return;
    isPressed = true;
    const effects = call.fromTwilio(press('12#'.charAt(upTo(2))), now);
    if (isToTwilio(effects)) {
      server.turn += 1;
      server.knownTurn += 1;
      server.isOwed = false;
    }
    perform(effects);
  }

  /** A response that isn't known yet isn't over yet. */
  function finish(): void {
    if (server.active !== known) return;
    const how = (['completed', 'completed', 'completed', 'empty', 'incomplete', 'failed'] as const)[upTo(5)];
    server.finish(how);
  }

  function conclude(): void {
    endsBy = now + 10_000;
    perform(call.conclude('time limit', 'Time is up.', now));
  }

  perform(call.sessionReady(now));
  for (let step = 0; step < 40 && ended === undefined; step++) {
    switch (upTo(11)) {
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
      case 10:
        if (isStarted) server.timesOut();
        if (isStarted && random() < 0.05) conclude();
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
    server.read(Number.POSITIVE_INFINITY);
    deliver(Number.POSITIVE_INFINITY);
    if (running.size > 0) finishTool();
    else if (server.active === known) server.finish();
    pass(500);
  }
  if (ended !== undefined) return;
  expect(server.active).toBeUndefined();
  expect([...server.unanswered]).toEqual([]);
  expect(server.isOwed).toBe(false);

  // A response that is created, and never done nor heard.
  server.speechStarts();
  server.speechStops();
  deliver(Number.POSITIVE_INFINITY);
  pass(15_000);
  expect(ended).toMatch(/no reply|assistant hung up|nobody there/);
}

it('Random conversations with tools, keys and goodbyes owe nothing in the end', { timeout: 600_000 }, () => {
  repeat(3_000, conversation);
});
