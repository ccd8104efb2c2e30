import { beforeEach, expect, it } from 'vitest';
import { Conversation } from '../../src/conversation/conversation.ts';
import type { Effect } from '../../src/conversation/effect.ts';
import {
  audio,
  cancelled,
  created,
  delta,
  done,
  echo,
  error,
  expected,
  failed,
  functionCall,
  itemAdded,
  STREAM,
  speechStarted,
  speechStopped,
  timedOut,
} from '../support/wire.ts';
import { inCall } from './ready-call.ts';

const { cancel, clear, mark, media, respond, text, truncate } = expected;
const TASK = text('system', expect.stringContaining('"Time is up."'));
const ADDED = itemAdded('task', { role: 'system', text: 'Time is up.' });

/** A call whose session is ready, and whose stream has started. */
let call: Conversation;
beforeEach(() => {
  call = new Conversation(1_000, [{ name: 'desk', timeoutMs: 10_000 }], { greets: false }, 0);
  call.streamStarted(STREAM, 0);
  call.sessionReady(0);
});

const { take } = inCall(() => call);

/** The call has to end at 1,000. */
function conclude(): Effect[] {
  return call.conclude('time limit', 'Time is up.', 1_000);
}

it.each([
  ['time limit', 4_999, true],
  ['time limit', 5_000, false],
  ['shutdown', 1_999, true],
  ['shutdown', 2_000, false],
] as const)('Before the last words of a %s, a sentence of %i ms more is heard: %s', (reason, ms, isHeard) => {
  take(0, created('r1'), delta('r1', 'a1', 1_000 + ms), done('r1'));
  const effects = call.conclude(reason, 'Time is up.', 1_000);
  expect(effects).toEqual(isHeard ? [TASK, respond] : [clear, truncate('a1', 1_000), TASK, respond]);
});

it.each([
  ['time limit', 12_000],
  ['shutdown', 11_000],
] as const)('The last words of a %s have until %i after a sentence of 1 s', (reason, ms) => {
  take(0, created('r1'), delta('r1', 'a1', 2_000), done('r1'));
  call.conclude(reason, 'Time is up.', 1_000);
  take(2_500, ADDED, created('r2'), delta('r2', 'a2', 60_000));
  expect(call.tick(ms - 1)).toEqual([]);
  expect(call.tick(ms)).toMatchObject([{ end: reason, isTold: false }]);
});

it('A response that is still in the making is cancelled for the last words', () => {
  take(0, created('r1'), delta('r1', 'a1', 4_000));
  expect(conclude()).toEqual([clear, truncate('a1', 1_000), cancel('r1'), TASK]);
  expect(take(1_050, cancelled('r1'))).toEqual([respond]);
});

it('A response that is only asked for is cancelled once it exists', () => {
  take(0, created('r1'), functionCall('r1', 'c1', 'desk'));
  call.toolDone('c1', { output: '1' }, 100);
  expect(take(200, done('r1'))).toEqual([respond]);
  expect(conclude()).toEqual([TASK]);
  expect(take(1_050, created('r2'))).toEqual([cancel('r2')]);
  expect(take(1_100, cancelled('r2'))).toEqual([respond]);
  take(1_500, created('r3'), delta('r3', 'a3', 400), done('r3'));
  expect(call.fromTwilio(echo('audio-1'), 2_000)).toMatchObject([{ end: 'time limit', isTold: true }]);
});

it('The last words end the call once they were heard', () => {
  take(0, created('r1'), delta('r1', 'a1', 4_000), done('r1'));
  expect(conclude()).toEqual([TASK, respond]);
  expect(take(1_500, ADDED, created('r2'), delta('r2', 'a2', 2_000))).toEqual([
    media(audio(2_000)),
    mark('audio-2'),
  ]);
  expect(take(1_600, done('r2'))).toEqual([]);
  expect(call.fromTwilio(echo('audio-1'), 4_050)).toEqual([]);
  expect(call.fromTwilio(echo('audio-2'), 6_050)).toMatchObject([{ end: 'time limit', isTold: true }]);
});

it('A caller who makes a sound over the last words hears them to their end', () => {
  conclude();
  take(1_500, ADDED, created('r2'), delta('r2', 'a2', 400), done('r2'));
  expect(take(1_600, speechStarted)).toEqual([]);
  expect(take(1_800, speechStopped, created('r3'), delta('r3', 'a3', 400))).toEqual([truncate('a3', 0)]);
  expect(call.tick(1_850)).toEqual([]);
  expect(call.fromTwilio(echo('audio-1'), 1_950)).toMatchObject([{ end: 'time limit', isTold: true }]);
});

it('A caller who cuts the last words off hears them as the answer', () => {
  conclude();
  take(1_500, ADDED, created('r2'), delta('r2', 'a2', 400));
  take(1_600, speechStarted, cancelled('r2'));
  expect(take(2_100, speechStopped, created('r3'), delta('r3', 'a3', 400), done('r3'))).toEqual([
    media(audio(400)),
    mark('audio-2'),
  ]);
  call.fromTwilio(echo('audio-1'), 2_000);
  expect(call.fromTwilio(echo('audio-2'), 2_560)).toMatchObject([{ end: 'time limit', isTold: true }]);
});

it('A question that crosses the last words is not taken for them', () => {
  conclude();
  take(1_010, timedOut, itemAdded('s', { role: 'system', text: 'No speech.' }));
  expect(take(1_020, created('q'))).toEqual([cancel('q')]);
  take(1_030, error('conversation_already_has_active_response'), ADDED);
  expect(take(1_050, cancelled('q'))).toEqual([respond]);
  take(1_500, created('r2'), delta('r2', 'a2', 400), done('r2'));
  expect(call.fromTwilio(echo('audio-1'), 1_950)).toMatchObject([{ end: 'time limit', isTold: true }]);
});

it('The last words do not wait for a tool', () => {
  take(0, created('r1'), functionCall('r1', 'c1', 'desk'), done('r1'));
  expect(conclude()).toEqual([TASK, respond]);
});

it('A caller who makes a sound before the last words hears them as the answer', () => {
  conclude();
  take(1_500, ADDED, created('r2'), speechStarted, cancelled('r2'));
  expect(call.tick(2_000)).toEqual([]);
  take(2_500, speechStopped, created('r3'), delta('r3', 'a3', 400), done('r3'));
  expect(call.fromTwilio(echo('audio-1'), 2_950)).toMatchObject([{ end: 'time limit', isTold: true }]);
});

it('A response that only calls a tool is no last word', () => {
  conclude();
  take(1_500, ADDED, created('r2'), functionCall('r2', 'c1', 'desk'), done('r2'));
  call.toolDone('c1', { output: '1' }, 1_600);
  expect(call.tick(1_700)).toEqual([]);
});

it('Last words that fail are asked for once more', () => {
  conclude();
  take(1_500, ADDED, created('r2'));
  expect(take(1_600, failed('r2'))).toEqual([respond]);
});

it('A caller who speaks all the time is told by Twilio after 10 s', () => {
  take(500, speechStarted);
  expect(conclude()).toEqual([TASK]);
  expect(call.tick(10_999)).toEqual([]);
  expect(call.tick(11_000)).toMatchObject([{ end: 'time limit', isTold: false }]);
});

it('Last words that are still unheard after 10 s are said by Twilio', () => {
  conclude();
  take(1_500, ADDED, created('r2'), delta('r2', 'a2', 15_000), done('r2'));
  expect(call.tick(11_000)).toMatchObject([{ end: 'time limit', isTold: false }]);
});

it('A call that has to end for a second reason is given no more time', () => {
  take(0, speechStarted);
  conclude();
  call.conclude('shutdown', 'Sorry.', 9_000);
  expect(call.tick(11_000)).toMatchObject([{ end: 'time limit' }]);
});

it('A caller who was to be put through still is, once the last words were heard', () => {
  take(0, created('r1'), functionCall('r1', 'c1', 'desk'), done('r1'));
  conclude();
  call.toolDone('c1', { ends: { to: '+14155550100' } }, 1_100);
  take(1_500, ADDED, itemAdded('o', { type: 'function_call_output' }), created('r2'));
  take(1_550, delta('r2', 'a2', 400), done('r2'));
  expect(call.fromTwilio(echo('audio-1'), 2_000)).toMatchObject([
    { end: 'put through', putThrough: '+14155550100' },
  ]);
});

it('A call that is to end anyway ends as it was to, whatever fails', () => {
  conclude();
  expect(call.fail({ reason: 'openai closed' }, 1_200)).toMatchObject([{ end: 'time limit', isTold: false }]);
});
