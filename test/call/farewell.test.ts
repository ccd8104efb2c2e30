import { beforeEach, describe, expect, it } from 'vitest';
import { Farewell } from '../../src/call/farewell.ts';

const HANG_UP = { end: 'assistant hung up', putThrough: undefined };
const putThrough = (to: string) => ({ end: 'put through', putThrough: to });

let farewell: Farewell;
beforeEach(() => {
  farewell = new Farewell();
});

/** How the call ends, if it does. */
function due(isIdle: boolean, isHeard: boolean, lateMs: number): unknown {
  return farewell.due(isIdle, isHeard, lateMs)[0];
}

/** How the call ends once all was heard and nothing more is to be said. */
const heard = () => due(true, true, 0);

it('A call that nobody wants to end goes on', () => {
  farewell.responseDone('r1');
  expect(heard()).toBeUndefined();
  expect(farewell.overdue()).toBeUndefined();
});

describe('the goodbye', () => {
  it('A goodbye that was said by the response which ends the call is enough', () => {
    farewell.begin(undefined, 'r1', true);
    expect(heard()).toEqual(HANG_UP);
  });

  it('A response that ends the call without a word is followed by one that says goodbye', () => {
    farewell.begin(undefined, 'r1', false);
    farewell.responseDone('r1');
    expect(heard()).toBeUndefined();
    farewell.responseDone('r2');
    expect(heard()).toEqual(HANG_UP);
  });

  it('A caller who is put through is put through to whom the tool named', () => {
    farewell.begin('+14155550100', 'r1', true);
    expect(heard()).toEqual(putThrough('+14155550100'));
  });

  it('The goodbye is heard to its end, or until it should have ended 2 s ago', () => {
    farewell.begin(undefined, 'r1', true);
    expect(due(true, false, -3_000)).toBeUndefined();
    expect(due(true, false, 1_999)).toBeUndefined();
    expect(due(true, false, 2_000)).toEqual(HANG_UP);
  });

  it('Nothing ends while the assistant has more to say', () => {
    farewell.begin(undefined, 'r1', true);
    expect(due(false, true, 60_000)).toBeUndefined();
  });

  it('A call that waits in vain for its goodbye ends as it was to end', () => {
    farewell.begin('sip:desk@example.com', 'r1', false);
    expect(farewell.overdue()).toEqual(putThrough('sip:desk@example.com'));
  });
});

describe('a caller who speaks before the end', () => {
  it('A caller who speaks keeps the call', () => {
    farewell.begin(undefined, 'r1', true);
    farewell.interrupted();
    expect(heard()).toBeUndefined();
    expect(farewell.overdue()).toBeUndefined();
  });

  it('A caller who speaks again, after a second goodbye, does not', () => {
    farewell.begin(undefined, 'r1', true);
    farewell.interrupted();
    farewell.begin(undefined, 'r2', true);
    farewell.interrupted();
    expect(heard()).toEqual(HANG_UP);
  });

  it('A caller who spoke before the assistant wanted to end has kept nothing yet', () => {
    farewell.interrupted();
    farewell.begin(undefined, 'r1', true);
    farewell.interrupted();
    expect(heard()).toBeUndefined();
  });
});
