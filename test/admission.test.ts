import { describe, expect, it } from 'vitest';
import { refusal } from '../src/admission.ts';
import { issueToken } from '../src/wire/auth.ts';
import type { Start } from '../src/wire/twilio.ts';
import { STREAM } from './support/wire.ts';

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

/** Those of a server that has none. */
const calls = { isLive: () => false, isBusy: false };

const issued = (callSid = 'CA1', now = NOW, authToken = 'secret') => issueToken(authToken, callSid, now);

describe('a stream that starts', () => {
  it('A stream is let in with the token that was issued for its call', () => {
    expect(refusal(start(issued()), 'secret', calls, NOW + 59_999)).toBeUndefined();
  });

  it('A stream is let in without a token where none is asked for', () => {
    expect(refusal(start(), undefined, calls, NOW)).toBeUndefined();
  });

  it.each([
    ['no token', undefined],
    ['nonsense', 'nonsense'],
    ["another call's token", issued('CA-other')],
    ['a token that has expired', issued('CA1', NOW - 60_000)],
    ['a token of another key', issued('CA1', NOW, 'guess')],
    ['a token that was made to last', issued().replace(/^\d+/, String(NOW + 3_600_000))],
  ])('A stream is refused when it brings %s', (_, token) => {
    expect(refusal(start(token), 'secret', calls, NOW)).toBe('bad token');
  });

  it.each([
    { ...MULAW, encoding: 'audio/x-alaw' },
    { ...MULAW, sampleRate: 16_000 },
    { ...MULAW, channels: 2 },
    {},
  ])('A stream is refused when its audio is %j', (mediaFormat) => {
    expect(refusal(start(issued(), mediaFormat), 'secret', calls, NOW)).toBe('not mu-law 8000 mono');
  });
});
