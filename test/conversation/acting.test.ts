import { beforeEach, describe, expect, it } from 'vitest';
import type { Conversation } from '../../src/conversation/conversation.ts';
import { SAY_PUT_THROUGH } from '../../src/conversation/farewell.ts';
import { OUTPUTS } from '../../src/conversation/tools.ts';
import {
  created,
  delta,
  done,
  error,
  expected,
  functionCall,
  outputAdded,
  speechStarted,
  speechStopped,
  timedOut,
} from '../support/wire.ts';
import { inCall, readyCall } from './ready-call.ts';

const { end, failed, output, respond, run } = expected;

const refused = error('conversation_already_has_active_response');

let call: Conversation;
beforeEach(() => {
  call = readyCall();
});

const { take, turn, tick } = inCall(() => call);

describe('A tool that the model calls', () => {
  it('is answered at once, and by a response once the one that called it is over', () => {
    turn('r1', 0);
    take(500, delta('r1', 'preamble', 400));
    expect(take(600, functionCall('r1', 'c1', 'time', ' {"city": "Oslo"}'))).toEqual([
      run('time', 'c1', { city: 'Oslo' }),
    ]);
    expect(call.toolDone('c1', { output: '"noon"' }, 700)).toEqual([output('c1', '"noon"')]);
    expect(take(710, outputAdded('o1'))).toEqual([]);
    expect(take(800, done('r1'))).toEqual([respond]);
  });

  it('brings one response if it outlasts the one that called it', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'));
    expect(take(200, done('r1'))).toEqual([]);
    expect(call.toolDone('c1', { output: '"noon"' }, 900)).toEqual([output('c1', '"noon"'), respond]);
    expect(take(1_000, outputAdded('o1'), created('r2'), done('r2'))).toEqual([]);
    expect(tick(1_200)).toEqual([]);
  });

  it('brings one response with others, after the last', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'), functionCall('r1', 'c2', 'weather'), done('r1'));
    expect(call.toolDone('c2', { output: '"sun"' }, 200)).toEqual([output('c2', '"sun"')]);
    expect(call.toolDone('c1', { output: '"noon"' }, 300)).toEqual([output('c1', '"noon"'), respond]);
  });

  it('brings another response if the next one could not see the output', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'), done('r1'));
    call.toolDone('c1', { output: '"noon"' }, 200);
    // Turn detection was quicker.
    take(210, created('r2'), outputAdded('o1'), refused);
    expect(take(900, done('r2'))).toEqual([respond]);
  });

  it('brings no response if turn detection has one made that sees the output', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'), done('r1'));
    call.toolDone('c1', { output: '"noon"' }, 200);
    take(210, outputAdded('o1'), created('r2'), refused);
    expect(take(900, done('r2'))).toEqual([]);
  });

  it('brings one response if OpenAI rejects the output', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'), done('r1'));
    expect(call.toolDone('c1', { output: '"noon"' }, 200)).toEqual([output('c1', '"noon"'), respond]);
    expect(take(300, error('invalid_tool_call_id'), created('r2'), done('r2'))).toEqual([]);
    expect(tick(500)).toEqual([]);
  });

  it('brings no response while the caller speaks, or waits for one', () => {
    turn('r1', 0);
    take(100, done('r1'), speechStarted);
    take(110, functionCall('r2', 'c1', 'time'));
    expect(call.toolDone('c1', { output: '"noon"' }, 200)).toEqual([output('c1', '"noon"')]);
    expect(take(300, speechStopped)).toEqual([]);
    expect(tick(400)).toEqual([]);
  });

  it('brings a response at once if it has stalled the process, which is noticed later', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'));
    call.toolDone('c1', { output: '1' }, 5_100);
    expect(take(120, done('r1'))).toEqual([respond]);
  });

  it('brings no response once the caller has cut in', () => {
    turn('r1', 0);
    take(100, delta('r1', 'preamble', 400), functionCall('r1', 'c1', 'time'), done('r1'));
    take(200, speechStarted);
    expect(call.toolDone('c1', { output: '"noon"' }, 300)).toEqual([output('c1', '"noon"')]);
    take(900, speechStopped, created('r2'), outputAdded('o1'));
    expect(take(1_500, done('r2'))).toEqual([]);
    expect(tick(5_000)).toEqual([]);
  });

  it.each([
    ['of a name that it was not given', 'nothing', '{}', OUTPUTS.unknown],
    ['whose arguments are no JSON', 'time', '{"city', OUTPUTS.badArguments],
  ])('%s is answered with a sentence, and the response follows', (_, name, json, sentence) => {
    turn('r1', 0);
    expect(take(100, functionCall('r1', 'c1', name, json))).toEqual([
      failed(name, sentence),
      output('c1', sentence),
    ]);
    expect(take(200, done('r1'))).toEqual([respond]);
  });

  it('is answered with a sentence if it failed', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'), done('r1'));
    expect(call.toolDone('c1', { output: OUTPUTS.failed }, 200)).toEqual([
      output('c1', OUTPUTS.failed),
      respond,
    ]);
  });

  it('is answered with a sentence if it takes too long, and its result dropped', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'time'), done('r1'));
    expect(tick(10_099)).toEqual([]);
    const timedOut = { ...failed('time', OUTPUTS.timedOut), callId: 'c1' };
    expect(tick(10_100)).toEqual([timedOut, output('c1', OUTPUTS.timedOut), respond]);
    expect(call.toolDone('c1', { output: '"noon"' }, 10_200)).toEqual([]);
  });
});

describe('A caller who heard a preamble', () => {
  /** Ticks from `from` on until the call is over; returns when that was, and why. */
  function overAt(from: number, until: number): unknown {
    for (let now = from; now < until; now += 250) {
      const last = tick(now).find((effect) => 'end' in effect);
      if (last !== undefined) return [now, last];
    }
    return undefined;
  }

  it('waits for a tool as long as it runs, then 15 s', () => {
    turn('r1', 0);
    take(0, delta('r1', 'preamble', 400), functionCall('r1', 'c1', 'weather'), done('r1'));
    expect(overAt(0, 50_000)).toBeUndefined();
    call.toolDone('c1', { output: '"sun"' }, 50_000);
    expect(overAt(50_000, 90_000)).toEqual([65_000, end('no reply')]);
  });
});

describe('A caller who moves on', () => {
  it('waits 15 s for the response after a quick tool', () => {
    turn('r1', 0);
    take(100, delta('r1', 'a', 400), functionCall('r1', 'c1', 'time'));
    call.toolDone('c1', { output: '1' }, 150);
    expect(take(200, done('r1'))).toEqual([respond]);
    expect(tick(15_199)).toEqual([]);
    expect(tick(15_200)).toEqual([end('no reply')]);
  });

  it('is not kept waiting by a slow tool of the response before', () => {
    turn('r1', 0);
    take(100, delta('r1', 'a', 400), functionCall('r1', 'c1', 'weather'), done('r1'));
    turn('r2', 200);
    take(300, functionCall('r2', 'c2', 'time'), done('r2'));
    expect(call.toolDone('c2', { output: '1' }, 400)).toEqual([output('c2', '1'), respond]);
    expect(call.toolDone('c1', { output: '2' }, 500)).toEqual([output('c1', '2')]);
  });

  it('is not kept waiting by a slow tool that was asked for earlier', () => {
    turn('r1', 0);
    take(100, functionCall('r1', 'c1', 'weather'), done('r1'), timedOut, created('q'));
    take(300, delta('q', 'a', 400), done('q'));
    turn('r2', 7_000);
    take(7_500, functionCall('r2', 'c2', 'time'), done('r2'));
    expect(call.toolDone('c2', { output: '1' }, 7_600)).toEqual([output('c2', '1'), respond]);
  });

  it.each([
    ['hears what a tool returned', { output: '1' }, '1'],
    ['is put through', { ends: { to: '+14155550100' } }, SAY_PUT_THROUGH],
  ])('%s after a word in the silence while it ran', (_, result, told) => {
    turn('r1', 0);
    take(100, delta('r1', 'a', 400), functionCall('r1', 'c1', 'time'), done('r1'));
    turn('r2', 2_000);
    take(2_500, delta('r2', 'b', 400), done('r2'));
    expect(call.toolDone('c1', result, 5_000)).toEqual([output('c1', told), respond]);
  });
});
