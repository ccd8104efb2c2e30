import { beforeEach, describe, expect, it } from 'vitest';
import { Farewell, SAY_GOODBYE } from '../../src/conversation/farewell.ts';

const HANG_UP = { end: 'assistant hung up', putThrough: undefined, isTold: true };
const putThrough = (to: string) => ({ end: 'put through', putThrough: to });

let farewell: Farewell;
beforeEach(() => {
  farewell = new Farewell();
});

/** How the call ends, if it does. */
function due(isIdle: boolean, isHeard: boolean, lateMs: number, now = 0): unknown {
  return farewell.due(isIdle, isHeard, lateMs, now)[0];
}

/** How the call ends once all was heard and nothing more is to be said. */
const heard = () => due(true, true, 0);

it('A call goes on if nobody ends it', () => {
  farewell.responseDone('r1');
  expect(heard()).toBeUndefined();
  expect(farewell.now).toBeUndefined();
});

describe('A goodbye', () => {
  it('ends the call if it was said by the response that hangs up', () => {
    farewell.begin({ to: undefined }, 'r1', true, false);
    expect(farewell.unsaid).toBeUndefined();
    expect(heard()).toEqual(HANG_UP);
  });

  it('is said by the next response if the one that hangs up says nothing', () => {
    farewell.begin({ to: undefined }, 'r1', false, false);
    farewell.responseDone('r1');
    expect(heard()).toBeUndefined();
    expect(farewell.unsaid).toBe(SAY_GOODBYE);
    farewell.responseDone('r2');
    expect(heard()).toEqual(HANG_UP);
    expect(farewell.unsaid).toBeUndefined();
  });

  it('puts the caller through to the number that the tool returns', () => {
    farewell.begin({ to: '+14155550100' }, 'r1', true, false);
    expect(heard()).toMatchObject(putThrough('+14155550100'));
  });

  it('ends the call 2 s after its estimated end at the latest', () => {
    farewell.begin({ to: undefined }, 'r1', true, false);
    expect(due(true, false, -3_000)).toBeUndefined();
    expect(due(true, false, 1_999)).toBeUndefined();
    expect(due(true, false, 2_000)).toEqual(HANG_UP);
  });

  it('waits while the assistant has more to say', () => {
    farewell.begin({ to: undefined }, 'r1', true, false);
    expect(due(false, true, 60_000)).toBeUndefined();
  });

  it('that never comes still has a way to end the call', () => {
    farewell.begin({ to: 'sip:desk@example.com' }, 'r1', false, false);
    expect(farewell.now).toMatchObject(putThrough('sip:desk@example.com'));
  });
});

describe('A caller who speaks before the end', () => {
  it('keeps the call', () => {
    farewell.begin({ to: undefined }, 'r1', true, false);
    expect(farewell.interrupted()).toBe(true);
    expect(heard()).toBeUndefined();
    expect(farewell.now).toBeUndefined();
  });

  it('hears the second goodbye to its end', () => {
    farewell.begin({ to: undefined }, 'r1', true, false);
    farewell.interrupted();
    farewell.begin({ to: undefined }, 'r2', true, false);
    expect(farewell.interrupted()).toBe(false);
    expect(due(true, false, -1_000)).toBeUndefined();
    expect(heard()).toEqual(HANG_UP);
  });

  it('hears nothing after the second goodbye', () => {
    farewell.begin({ to: undefined }, 'r1', true, false);
    expect(farewell.isAfter('r2')).toBe(false);
    farewell.interrupted();
    farewell.begin({ to: undefined }, 'r2', true, false);
    expect(farewell.isAfter('r2')).toBe(false);
    expect(farewell.isAfter('r3')).toBe(true);
  });

  it('has kept no call by a word before the goodbye', () => {
    farewell.interrupted();
    farewell.begin({ to: undefined }, 'r1', true, false);
    farewell.interrupted();
    expect(heard()).toBeUndefined();
  });
});

describe('A silent caller', () => {
  /** The caller lets a question pass; returns whether the assistant says goodbye. */
  const question = () => farewell.timedOut('r1') !== undefined;

  it('hears goodbye after three questions', () => {
    expect([question(), question(), question(), question()]).toEqual([false, false, false, true]);
    farewell.responseDone('r2');
    expect(heard()).toMatchObject({ end: 'nobody there' });
  });

  it('is asked three times more after a word or a key', () => {
    for (let n = 0; n < 3; n += 1) question();
    farewell.interrupted();
    expect([question(), question(), question(), question()]).toEqual([false, false, false, true]);
  });

  it('keeps the call by a word over that goodbye', () => {
    for (let n = 0; n < 4; n += 1) question();
    expect(farewell.interrupted()).toBe(true);
    expect(farewell.now).toBeUndefined();
  });
});

describe('A call that must end', () => {
  const TOLD = { end: 'time limit', isTold: true };

  it('ends once a response after its task was heard', () => {
    expect(JSON.stringify(farewell.conclude('time limit', 'Time is up.', 'r1', 0))).toContain('Time is up.');
    farewell.responseDone('r1');
    expect(heard()).toBeUndefined();
    farewell.responseDone('r2');
    expect(due(true, false, -500)).toBeUndefined();
    expect(heard()).toMatchObject(TOLD);
  });

  it('ends after 10 s though nothing was said', () => {
    farewell.conclude('time limit', 'Time is up.', 'r1', 1_000);
    expect(due(false, false, 0, 10_999)).toBeUndefined();
    expect(due(false, false, 0, 11_000)).toMatchObject({ end: 'time limit', isTold: false });
  });

  it('is not kept by a caller who speaks', () => {
    farewell.conclude('time limit', 'Time is up.', undefined, 0);
    farewell.interrupted();
    farewell.responseDone('r1');
    expect(heard()).toMatchObject(TOLD);
  });

  it('ends by the goodbye that is already on its way', () => {
    farewell.begin({ to: '+14155550100' }, 'r1', true, false);
    expect(farewell.conclude('time limit', 'Time is up.', 'r1', 0)).toBeUndefined();
    farewell.interrupted();
    expect(heard()).toMatchObject(putThrough('+14155550100'));
  });
});
