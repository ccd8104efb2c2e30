import { beforeEach, describe, expect, it } from 'vitest';
import { Conversation } from '../../src/conversation/conversation.ts';
import type { Effect } from '../../src/conversation/effect.ts';
import {
  cancelled,
  created,
  delta,
  done,
  expected,
  functionCall,
  itemAdded,
  press,
  STREAM,
} from '../support/wire.ts';
import { inCall, readyCall } from './ready-call.ts';

const { cancel, clear, output, respond, text, truncate } = expected;

let call: Conversation;
beforeEach(() => {
  call = readyCall();
});

const { take, turn, tick } = inCall(() => call);

describe('A key', () => {
  it('over the goodbye keeps the call, as a word does', () => {
    turn('r1', 0);
    take(100, delta('r1', 'a', 4_000), functionCall('r1', 'c1', 'bye'), done('r1'));
    call.toolDone('c1', { ends: { to: undefined } }, 150);
    call.fromTwilio(press('1'), 300);
    expect(tick(600)).toEqual([]);
    expect(tick(1_800)).toEqual([text('user', '(The caller pressed 1 on the keypad.)'), respond]);
  });

  it('waits for the next session if one is lost', () => {
    call.sessionLost(false, 1_000);
    call.fromTwilio(press('7'), 1_100);
    call.fromTwilio(press('#'), 1_200);
    expect(tick(1_500)).toEqual([]);
    call.sessionReady(2_000);
    expect(tick(2_250)).toEqual([text('user', '(The caller pressed 7 on the keypad.)'), respond]);
  });

  it('waits until a session is ready', () => {
    call = new Conversation(1_000, [], { greets: true }, 0);
    call.streamStarted(STREAM, 0);
    expect([press('4'), press('#')].flatMap((key) => call.fromTwilio(key, 100))).toEqual([]);
    expect(call.sessionReady(500)).toEqual([respond]);
    expect(tick(600)).toEqual([text('user', '(The caller pressed 4 on the keypad.)')]);
  });

  const KEYS = text('user', '(The caller pressed 1 2 3 on the keypad.)');

  function keys(digits: string, now: number): Effect[] {
    return [...digits].flatMap((digit) => call.fromTwilio(press(digit), now));
  }

  it('is sent with others as one item, which a response answers', () => {
    expect(keys('123#', 0)).toEqual([KEYS, respond]);
    expect(take(100, itemAdded('k', { role: 'user', text: 'keys' }), created('r1'), done('r1'))).toEqual([]);
  });

  it('is sent once the caller has paused, and counted', () => {
    expect(keys('123', 1_000)).toEqual([]);
    expect(tick(2_499)).toEqual([]);
    expect(tick(2_500)).toEqual([KEYS, respond]);
    expect(call.summary(0)).toMatchObject({ keysPressed: 3 });
  });

  it('over the assistant cuts in, and cancels the response', () => {
    turn('r1', 0);
    take(1_000, delta('r1', 'a', 4_000));
    expect(keys('1', 2_000)).toEqual([clear, truncate('a', 1_000), cancel('r1')]);
    expect(take(2_010, delta('r1', 'a', 400))).toEqual([]);
    expect(keys('23#', 2_200)).toEqual([KEYS]);
    expect(take(2_300, cancelled('r1'))).toEqual([respond]);
  });

  it('cancels no response that is over', () => {
    turn('r1', 0);
    take(1_000, delta('r1', 'a', 4_000), done('r1'));
    expect(keys('1', 2_000)).toEqual([clear, truncate('a', 1_000)]);
  });

  it('cuts in once, if others follow', () => {
    keys('1', 0);
    take(100, created('r1'), delta('r1', 'a', 4_000));
    expect(keys('2', 1_000)).toEqual([]);
  });

  it('is answered together with a tool that runs', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'), done('r1'));
    expect(keys('123#', 200)).toEqual([KEYS]);
    expect(call.toolDone('c1', { output: '"noon"' }, 300)).toEqual([output('c1', '"noon"'), respond]);
  });
});
