import { beforeEach, describe, expect, it } from 'vitest';
import { OUTPUTS, outputOf, TIMED_OUT, Tools } from '../../src/conversation/tools.ts';
import type { FunctionCall } from '../../src/wire/openai.ts';
import { expected } from '../support/wire.ts';

let tools: Tools;
beforeEach(() => {
  tools = new Tools([
    { name: 'time', timeoutMs: 10_000 },
    { name: 'weather', timeoutMs: 3_000 },
  ]);
});

/** The arguments of a call in response r1. */
function call(call_id: string, changes: Partial<FunctionCall> = {}): ['r1', FunctionCall] {
  return ['r1', { type: 'function_call', call_id, name: 'time', arguments: '{"city":"Oslo"}', ...changes }];
}

function finished(callId: string) {
  return tools.finished(callId, { output: '"noon"' });
}

/** What is returned for a call that isn't run. */
function refused(why: string, name = 'time'): unknown[] {
  return [{ failedTool: name, why }, expected.output('c1', why)];
}

describe('a tool that is called', () => {
  it('A tool is run with the arguments that the model wrote', () => {
    expect(tools.called(...call('c1'), 0)).toEqual([{ run: 'time', callId: 'c1', args: { city: 'Oslo' } }]);
  });

  it('Arguments may come with white space, or not at all', () => {
    expect(tools.called(...call('c1', { arguments: ' {\n "city" : "Oslo" } ' }), 0)[0]).toMatchObject({
      args: { city: 'Oslo' },
    });
    expect(tools.called(...call('c2', { arguments: ' ' }), 0)[0]).toMatchObject({ args: {} });
  });

  it('A call is run once, however often it comes', () => {
    tools.called(...call('c1'), 0);
    expect(tools.called(...call('c1'), 0)).toEqual([]);
    finished('c1');
    expect(tools.called(...call('c1'), 0)).toEqual([]);
  });

  it('A call that was answered at once is not answered again', () => {
    tools.called(...call('c1', { name: 'nothing' }), 0);
    expect(tools.called(...call('c1', { name: 'nothing' }), 0)).toEqual([]);
  });

  it('Several tools run side by side, until the last has finished', () => {
    tools.called(...call('c1'), 0);
    tools.called(...call('c2', { name: 'weather' }), 0);
    finished('c1');
    expect(tools.areAwaited(() => false)).toBe(true);
    finished('c2');
    expect(tools.areAwaited(() => false)).toBe(false);
  });
});

describe('a call that cannot be run', () => {
  it.each([
    ['whose tool there is none of', { name: 'nothing' }, OUTPUTS.unknown],
    ['whose tool is named like something that every object has', { name: 'constructor' }, OUTPUTS.unknown],
    ['whose arguments were cut off', { arguments: '{"city":"Os' }, OUTPUTS.badArguments],
    ['whose arguments are JSON but no object', { arguments: '["Oslo"]' }, OUTPUTS.badArguments],
  ])('A call %s is answered with a sentence, and nothing runs', (_, changes, output) => {
    expect(tools.called(...call('c1', changes), 0)).toEqual(
      refused(output, 'name' in changes ? changes.name : undefined),
    );
    expect(tools.areAwaited(() => false)).toBe(false);
  });

  it('The eleventh tool at once is refused, until one has finished', () => {
    for (let n = 1; n <= 10; n++) expect(tools.called(...call(`c${n}`), 0)).toMatchObject([{ run: 'time' }]);
    expect(tools.called(...call('c11'), 0)).toMatchObject([{ why: OUTPUTS.tooMany }, {}]);
    finished('c1');
    expect(tools.called(...call('c12'), 0)).toMatchObject([{ run: 'time' }]);
  });
});

describe('a tool that takes too long', () => {
  it('counts as running until it returns, through the loss of its session', () => {
    for (let n = 1; n <= 10; n++) tools.called(...call(`c${n}`), 0);
    for (const { callId } of tools.overdue(10_000)) tools.finished(callId, TIMED_OUT);
    for (const [callId, result] of tools.sessionLost()) tools.finished(callId, result);
    expect(tools.called(...call('c11'), 10_000)).toMatchObject([{ why: OUTPUTS.tooMany }, {}]);
    finished('c1');
    expect(tools.called(...call('c12'), 10_000)).toMatchObject([{ run: 'time' }]);
  });
});

describe('a tool that finishes', () => {
  it('A tool that finishes is known by the response that called it', () => {
    tools.called('r7', call('c1')[1], 0);
    expect(finished('c1')).toMatchObject({ responseId: 'r7' });
  });

  it('A result counts once, and one that nobody asked for never', () => {
    tools.called(...call('c1'), 0);
    finished('c1');
    expect(finished('c1')).toBeUndefined();
    expect(finished('c2')).toBeUndefined();
  });

  it('Each tool is overdue once, after the time that it has', () => {
    tools.called(...call('c1'), 1_000);
    tools.called(...call('c2', { name: 'weather' }), 1_000);
    expect(tools.overdue(3_999)).toEqual([]);
    expect(tools.overdue(4_000)).toMatchObject([{ callId: 'c2' }]);
    expect(tools.overdue(11_000)).toMatchObject([{ callId: 'c1' }]);
  });

  it('A tool that was overdue and given up is over: its late result is dropped', () => {
    tools.called(...call('c1'), 0);
    for (const { callId } of tools.overdue(10_000)) finished(callId);
    expect(finished('c1')).toBeUndefined();
    expect(tools.overdue(20_000)).toEqual([]);
  });
});

describe('what came of a call', () => {
  it('The model is told as the output of its call', () => {
    tools.called(...call('c1'), 0);
    const tool = finished('c1');
    expect(tool && outputOf('c1', tool, { output: '"noon"' })).toEqual(expected.output('c1', '"noon"'));
  });

  it('A session that did not make the call is told in words', () => {
    tools.called(...call('c1'), 0);
    tools.sessionLost();
    expect(tools.areAwaited(() => false)).toBe(false);
    const tool = finished('c1');
    const words = expected.text('user', '(time returned: "noon")');
    expect(tool && outputOf('c1', tool, { output: '"noon"' })).toEqual(words);
  });

  it('What was not passed on when the session is lost is returned for the next, once', () => {
    tools.called(...call('c1'), 0);
    finished('c1');
    expect(tools.running).toEqual([]);
    expect(tools.sessionLost()).toEqual([['c1', { output: '"noon"' }]]);
    expect(tools.sessionLost()).toEqual([]);
  });
});
