import { describe, expect, it } from 'vitest';
import { seconds } from './paint.js';
import { whyNoCall } from './telephone.js';

describe('the page', () => {
  it.each([
    ['NotAllowedError', /^The microphone was refused\. Allow it/],
    ['NotFoundError', /^There is no microphone\. Connect one/],
    ['OverconstrainedError', /^There is no microphone\. Connect one/],
    ['NotReadableError', /^The microphone is in use by another program/],
    ['AbortError', /^The microphone is in use by another program/],
    ['SecurityError', /no microphone here\. Open it at http:\/\/127\.0\.0\.1/],
    ['TimeoutError', /^This browser has no loudspeaker or headphones/],
    ['InvalidStateError', /^This browser can't place the call: as the browser says\.$/],
  ])('explains %s', (name, words) => {
    expect(whyNoCall(new DOMException('as the browser says', name))).toMatch(words);
  });

  it('shows no time before the call began', () => {
    expect([-0.4, -0, 4, 1_234].map(seconds)).toEqual(['0.00 s', '0.00 s', '0.00 s', '1.23 s']);
  });
});
