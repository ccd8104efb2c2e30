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

it('A call that nobody wants to end goes on', () => {
  farewell.responseDone('r1');
  expect(heard()).toBeUndefined();
  expect(farewell.now).toBeUndefined();
});

describe('the goodbye', () => {
  it('A goodbye that was said by the response which ends the call is enough', () => {
    farewell.begin({ to: undefined }, 'r1', true, false);
    expect(heard()).toEqual(HANG_UP);
  });

  it('A response that ends the call without a word is followed by one that says goodbye', () => {
    farewell.begin({ to: undefined }, 'r1', false, false);
    farewell.responseDone('r1');
    expect(heard()).toBeUndefined();
    farewell.responseDone('r2');
    expect(heard()).toEqual(HANG_UP);
  });

  it('A caller who is put through is put through to whom the tool named', () => {
    farewell.begin({ to: '+14155550100' }, 'r1', true, false);
    expect(heard()).toMatchObject(putThrough('+14155550100'));
  });

  it('The goodbye is heard to its end, or until it should have ended 2 s ago', () => {
    farewell.begin({ to: undefined }, 'r1', true, false);
    expect(due(true, false, -3_000)).toBeUndefined();
    expect(due(true, false, 1_999)).toBeUndefined();
    expect(due(true, false, 2_000)).toEqual(HANG_UP);
  });

  it('Nothing ends while the assistant has more to say', () => {
    farewell.begin({ to: undefined }, 'r1', true, false);
    expect(due(false, true, 60_000)).toBeUndefined();
  });

  it('A call that waits in vain for its goodbye ends as it was to end', () => {
    farewell.begin({ to: 'sip:desk@example.com' }, 'r1', false, false);
    expect(farewell.now).toMatchObject(putThrough('sip:desk@example.com'));
  });
});

describe('a caller who speaks before the end', () => {
  it('A caller who speaks keeps the call', () => {
    farewell.begin({ to: undefined }, 'r1', true, false);
    farewell.interrupted();
    expect(heard()).toBeUndefined();
    expect(farewell.now).toBeUndefined();
  });

  it('A caller who speaks again, after a second goodbye, does not', () => {
    farewell.begin({ to: undefined }, 'r1', true, false);
    farewell.interrupted();
    farewell.begin({ to: undefined }, 'r2', true, false);
    farewell.interrupted();
    expect(heard()).toEqual(HANG_UP);
  });

  it('A caller who spoke before the assistant wanted to end has kept nothing yet', () => {
    farewell.interrupted();
    farewell.begin({ to: undefined }, 'r1', true, false);
    farewell.interrupted();
    expect(heard()).toBeUndefined();
  });
});

describe('a call that has to end', () => {
  const TOLD = { end: 'time limit', isTold: true };

  it('The model is told what to say, and the call is over once a response after that was heard', () => {
    expect(JSON.stringify(farewell.conclude('time limit', 'Time is up.', 'r1', 0))).toContain('Time is up.');
    farewell.responseDone('r1');
    expect(heard()).toBeUndefined();
    farewell.responseDone('r2');
    expect(due(true, false, -500)).toBeUndefined();
    expect(heard()).toMatchObject(TOLD);
  });

  it('The call is over after 10 s though nothing was said, and the caller is still to be told', () => {
    farewell.conclude('time limit', 'Time is up.', 'r1', 1_000);
    expect(due(false, false, 0, 10_999)).toBeUndefined();
    expect(due(false, false, 0, 11_000)).toMatchObject({ end: 'time limit', isTold: false });
  });

  it('A caller who speaks then does not keep the call', () => {
    farewell.conclude('time limit', 'Time is up.', undefined, 0);
    farewell.interrupted();
    farewell.responseDone('r1');
    expect(heard()).toMatchObject(TOLD);
  });

  it('A goodbye that is already on its way is enough, and whoever is being put through still is', () => {
    farewell.begin({ to: '+14155550100' }, 'r1', true, false);
    expect(farewell.conclude('time limit', 'Time is up.', 'r1', 0)).toBeUndefined();
    farewell.interrupted();
    expect(heard()).toMatchObject(putThrough('+14155550100'));
  });
});

describe('a goodbye whose session was lost', () => {
  it('A goodbye that was said is not said again, and one that was not is left to the next session', () => {
    farewell.begin({ to: undefined }, 'r1', true, false);
    expect(farewell.sessionLost()).toBeUndefined();
    farewell.begin({ to: undefined }, 'r1', false, false);
    expect(farewell.sessionLost()).toBe(SAY_GOODBYE);
    farewell.responseDone('r2');
    expect(heard()).toEqual(HANG_UP);
  });
});
