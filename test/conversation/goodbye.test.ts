import { beforeEach, describe, expect, it } from 'vitest';
import type { Conversation } from '../../src/conversation/conversation.ts';
import type { Effect } from '../../src/conversation/effect.ts';
import { DONE, KEPT, SAY_GOODBYE, SAY_PUT_THROUGH } from '../../src/conversation/farewell.ts';
import {
  cancelled,
  created,
  delta,
  done,
  echo,
  error,
  expected,
  functionCall,
  itemAdded,
  outputAdded,
  press,
  speechStarted,
  speechStopped,
  timedOut,
} from '../support/wire.ts';
import { inCall, readyCall } from './ready-call.ts';

const { cancel, clear, hungUp, output, putThrough, respond, text, truncate } = expected;

let call: Conversation;
beforeEach(() => {
  call = readyCall();
});

const { take, turn, tick } = inCall(() => call);

describe('A goodbye', () => {
  const toHangUp = { ends: { to: undefined } };

  /** Response `id` says goodbye for 2 s, in the item `item`, and ends the call. */
  function goodbye(id: string, item: string, now: number): Effect[] {
    take(now, delta(id, item, 2_000), functionCall(id, `${id}-bye`, 'bye'));
    return [...call.toolDone(`${id}-bye`, toHangUp, now), ...take(now, done(id))];
  }

  it('is heard to its end before the call ends', () => {
    turn('r1', 0);
    expect(goodbye('r1', 'a', 1_000)).toEqual([output('r1-bye', DONE)]);
    expect(tick(2_900)).toEqual([]);
    expect(call.fromTwilio(echo('audio-1'), 3_060)).toEqual([hungUp]);
  });

  it('is asked for if the response that ends the call says nothing', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'bye'));
    expect(call.toolDone('c1', toHangUp, 100)).toEqual([output('c1', SAY_GOODBYE)]);
    expect(take(200, done('r1'))).toEqual([respond]);
    expect(take(900, outputAdded('o1'), created('r2'))).toEqual([]);
    take(1_000, delta('r2', 'a', 2_000));
    expect(take(1_100, done('r2'))).toEqual([]);
    expect(call.fromTwilio(echo('audio-1'), 3_060)).toEqual([hungUp]);
  });

  it('ends the call 2 s late if its mark does not come', () => {
    turn('r1', 0);
    goodbye('r1', 'a', 1_000);
    expect(tick(4_999)).toEqual([]);
    expect(tick(5_000)).toEqual([hungUp]);
  });

  it('is said and heard before the caller is put through', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'bye'));
    const result = { ends: { to: '+14155550100' } };
    expect(call.toolDone('c1', result, 100)).toEqual([output('c1', SAY_PUT_THROUGH)]);
    take(900, done('r1'), outputAdded('o1'), created('r2'), delta('r2', 'a', 1_000), done('r2'));
    expect(call.fromTwilio(echo('audio-1'), 2_000)).toEqual([putThrough('+14155550100')]);
  });

  it('is cut off by the caller once: the second is heard to its end', () => {
    turn('r1', 0);
    goodbye('r1', 'a', 1_000);
    expect(take(2_000, speechStarted)).toEqual([clear, truncate('a', 1_000)]);
    expect(call.fromTwilio(echo('audio-1'), 2_060)).toEqual([]);
    take(3_000, speechStopped, created('r2'));
    expect(tick(9_000)).toEqual([]);
    goodbye('r2', 'b', 10_000);
    expect(take(11_000, speechStarted)).toEqual([]);
    expect(tick(11_250)).toEqual([]);
    expect(call.fromTwilio(echo('audio-2'), 12_060)).toEqual([hungUp]);
  });

  it.each([
    ['after it', 'r2'],
    ['beside it', 'r1'],
  ])('puts the caller through though the model hangs up %s', (_, id) => {
    const ends = { to: '+14155550100', callerId: '+14155550101' };
    turn('r1', 0);
    if (id === 'r1') take(100, delta('r1', 'a', 400));
    take(110, functionCall('r1', 'c1', 'time'));
    call.toolDone('c1', { ends }, 110);
    if (id === 'r2') take(120, done('r1'), outputAdded('o1'), created('r2'), delta('r2', 'a', 380));
    take(400, functionCall(id, 'c2', 'bye'));
    call.toolDone('c2', toHangUp, 410);
    take(420, done(id));
    expect(call.fromTwilio(echo('audio-1'), 560)).toEqual([
      { ...putThrough('+14155550100'), callerId: '+14155550101' },
    ]);
  });

  it('is not followed by what another tool returned', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'), done('r1'));
    turn('r2', 1_000);
    expect(call.toolDone('c1', { output: '1' }, 1_100)).toEqual([output('c1', '1')]);
    expect(goodbye('r2', 'a', 1_200)).toEqual([output('r2-bye', DONE)]);
    expect(call.fromTwilio(echo('audio-1'), 3_260)).toEqual([hungUp]);
  });

  it('is not begun by a tool whose response the caller has cut off', () => {
    turn('r1', 0);
    take(1_000, delta('r1', 'a', 2_000), functionCall('r1', 'c1', 'bye'), done('r1'), speechStarted);
    expect(call.toolDone('c1', toHangUp, 1_100)).toEqual([output('c1', KEPT)]);
    take(2_000, speechStopped, created('r2'), done('r2'));
    expect(tick(9_000)).toEqual([]);
  });

  describe('by a tool that takes its time', () => {
    const toPutThrough = { ends: { to: '+14155550100' } };

    /** A tool of `r1` runs, which the caller was told; the caller has heard all of it at 600. */
    beforeEach(() => {
      turn('r1', 0);
      take(100, delta('r1', 'a', 400), functionCall('r1', 'c1', 'weather'), done('r1'));
      call.fromTwilio(echo('audio-1'), 600);
    });

    it('is not begun while the caller speaks', () => {
      take(2_000, speechStarted);
      expect(call.toolDone('c1', toPutThrough, 2_500)).toEqual([output('c1', KEPT)]);
    });

    it('is not begun before the reply to what the caller has said', () => {
      take(2_000, speechStarted, speechStopped, created('r2'));
      expect(call.toolDone('c1', toPutThrough, 2_100)).toEqual([output('c1', SAY_PUT_THROUGH)]);
      take(2_200, delta('r2', 'b', 400), done('r2'));
      expect(call.fromTwilio(echo('audio-2'), 2_700)).toEqual([]);
    });

    it('is not begun while keys wait to be told', () => {
      call.fromTwilio(press('1'), 2_000);
      expect(call.toolDone('c1', toPutThrough, 2_300)).toEqual([output('c1', KEPT), respond]);
    });

    it('is announced after a question over the tool', () => {
      take(6_000, timedOut, created('q'), delta('q', 'b', 400));
      expect(call.toolDone('c1', toPutThrough, 6_200)).toEqual([output('c1', SAY_PUT_THROUGH)]);
      expect(take(6_300, outputAdded('o'), done('q'))).toEqual([respond]);
    });

    it('is asked for after keys that were pressed meanwhile', () => {
      call.fromTwilio(press('1'), 1_000);
      call.fromTwilio(press('#'), 1_100);
      expect(call.toolDone('c1', toHangUp, 2_000)).toEqual([output('c1', SAY_GOODBYE), respond]);
    });

    it('is not begun over a turn that is repeated to the next session', () => {
      take(2_000, speechStarted, itemAdded('u1', { role: 'user' }));
      call.sessionLost(false, 2_500);
      call.toolDone('c1', toHangUp, 2_700);
      expect(call.sessionReady(3_000)).toContainEqual(text('user', `(weather returned: ${KEPT})`));
      expect(tick(3_100)).toEqual([]);
    });

    it('is not what was asked for before', () => {
      turn('r2', 2_000);
      take(2_100, delta('r2', 'b', 400), done('r2'));
      call.fromTwilio(press('1'), 4_000);
      expect(call.fromTwilio(press('#'), 4_100)).toContainEqual(respond);
      expect(call.toolDone('c1', toHangUp, 4_150)).toEqual([output('c1', SAY_GOODBYE)]);
      take(4_200, created('r3'), delta('r3', 'c', 500));
      expect(take(4_300, done('r3'))).toEqual([respond]);
      call.fromTwilio(echo('audio-3'), 4_800);
      take(4_900, outputAdded('o'), created('r4'), delta('r4', 'd', 500), done('r4'));
      expect(call.fromTwilio(echo('audio-4'), 5_500)).toEqual([hungUp]);
    });

    it('is not held up by that of an earlier response', () => {
      turn('r2', 2_000);
      take(2_500, delta('r2', 'b', 400), functionCall('r2', 'c2', 'bye'));
      call.toolDone('c2', toHangUp, 2_510);
      take(2_520, done('r2'));
      expect(call.fromTwilio(echo('audio-2'), 3_000)).toEqual([hungUp]);
    });
  });

  it('is asked for again after a question that it cuts off', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'bye'), done('r1'));
    call.toolDone('c1', toHangUp, 5_000);
    const hasActive = error('conversation_already_has_active_response');
    const asked = take(5_050, outputAdded('o1'), timedOut, created('q'), hasActive, cancelled('q'));
    expect(asked).toEqual([cancel('q'), respond]);
  });

  it('that never comes ends the call without an apology', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'bye'), done('r1'));
    call.toolDone('c1', toHangUp, 100);
    expect(tick(15_099)).toEqual([]);
    expect(tick(15_100)).toMatchObject([{ end: 'assistant hung up' }]);
  });
});
