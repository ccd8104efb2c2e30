import { describe, expect, it } from 'vitest';
import { type Circumstances, refusal, Used } from '../../src/call/admission.ts';
import { issueToken } from '../../src/wire/auth.ts';
import type { Start } from '../../src/wire/twilio.ts';
import { STREAM } from '../support/wire.ts';

const NOW = 1_800_000_000_000;
const MULAW = { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 };

function start(token?: string, mediaFormat: object = MULAW): Start {
  const customParameters: Record<string, string> = token === undefined ? {} : { token };
  return {
    event: 'start',
    streamSid: STREAM,
    start: { callSid: 'CA1', mediaFormat: { ...mediaFormat }, customParameters },
  };
}

/** What is known when a stream asks to be let in: nothing that speaks against it, but for `changes`. */
function circumstances(changes: Partial<Circumstances> = {}): Circumstances {
  const calls = { isLive: () => false, isBusy: false };
  return { authToken: 'secret', calls, used: new Used(), isPrepared: false, now: NOW, ...changes };
}

const issued = (callSid = 'CA1', now = NOW, authToken = 'secret') => issueToken(authToken, callSid, now);

describe('a stream that starts', () => {
  it('A stream is let in with the token that was issued for its call', () => {
    expect(refusal(start(issued()), circumstances({ now: NOW + 59_999 }))).toBeUndefined();
  });

  it('A stream is let in without a token where none is asked for', () => {
    expect(refusal(start(), circumstances({ authToken: undefined }))).toBeUndefined();
  });

  it.each([
    ['no token', undefined],
    ['nonsense', 'nonsense'],
    ["another call's token", issued('CA-other')],
    ['a token that has expired', issued('CA1', NOW - 60_000)],
    ['a token of another key', issued('CA1', NOW, 'guess')],
    ['a token that was made to last', issued().replace(/^\d+/, String(NOW + 3_600_000))],
  ])('A stream is refused when it brings %s', (_, token) => {
    expect(refusal(start(token), circumstances())).toBe('bad token');
  });

  it.each([
    { ...MULAW, encoding: 'audio/x-alaw' },
    { ...MULAW, sampleRate: 16_000 },
    { ...MULAW, channels: 2 },
    {},
  ])('A stream is refused when its audio is %j', (mediaFormat) => {
    expect(refusal(start(issued(), mediaFormat), circumstances())).toBe('not mu-law 8000 mono');
  });

  it('A stream is refused when its token has let one in before', () => {
    const used = new Used();
    used.token('CA1', issued(), false);
    expect(refusal(start(issued()), circumstances({ used }))).toBe('token already used');
    expect(refusal(start(issued('CA1', NOW + 1)), circumstances({ used }))).toBeUndefined();
  });
});

describe('a stream whose call was prepared', () => {
  it('A stream is let in to the place that was taken for it', () => {
    const calls = { isLive: () => true, isBusy: true };
    expect(refusal(start(issued()), circumstances({ calls, isPrepared: true }))).toBeUndefined();
  });
});

describe('what the last calls have used up', () => {
  it('The tokens of the oldest call are forgotten when there were 10,000 calls after it', () => {
    const used = new Used();
    for (let n = 0; n <= 10_000; n++) used.token(`CA${n}`, 'token', false);
    expect(used.hasToken('CA0', 'token')).toBe(false);
    expect(used.hasToken('CA1', 'token')).toBe(true);
  });

  it('A call has five streams in all, those that were prepared among them', () => {
    const used = new Used();
    for (let n = 0; n < 4; n++) {
      expect(used.mayPrepare('CA1')).toBe(true);
      used.preparation('CA1');
      used.token('CA1', `prepared ${n}`, true);
    }
    expect(used.mayPrepare('CA1')).toBe(true);
    used.token('CA1', 'begun', false);
    expect(used.mayPrepare('CA1')).toBe(false);
    expect(refusal(start(issued()), circumstances({ used }))).toBe('too many streams');
    expect(refusal(start(issued()), circumstances({ used, isPrepared: true }))).toBeUndefined();
  });

  it('A call that nobody came for is not prepared again', () => {
    const used = new Used();
    used.preparation('CA1');
    used.giveUp('CA1');
    expect(used.mayPrepare('CA1')).toBe(false);
  });
});
