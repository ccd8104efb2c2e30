import { describe, expect, it } from 'vitest';
import { isSignature, sign } from '../../src/wire/auth.ts';

describe('signing as Twilio does', () => {
  it('A form is signed by its address and its sorted parameters, as Twilio documents', () => {
    const form = {
      To: '+18005551212',
      CallSid: 'CA1234567890ABCDE',
      Caller: '+14158675310',
      Digits: '1234',
      From: '+14158675310',
    };
    expect(sign('12345', 'https://example.com/myapp.php?foo=1&bar=2', form)).toBe(
      'L/OH5YylLD5NRKLltdqwSvS0BnU=',
    );
  });

  it.each([
    ['wss://relay.example.com/media', 'MVVXQK8WMm1ywK7bu7blrI+Pdd8='],
    ['wss://relay.example.com/media/', 'hBDkC2Ruji7JIL+5FkZfru2kze8='],
  ])('The WebSocket %s is signed by its address alone', (url, signature) => {
    expect(sign('12345', url)).toBe(signature);
  });

  it('Names are sorted by their bytes, and each value of a repeated one is taken once, in order', () => {
    expect(sign('t', 'https://a.b/', { b: ['2', '1', '2'], B: 'x', a: '' })).toBe(
      sign('t', 'https://a.b/Bxab1b2'),
    );
  });
});

describe('a header that may be a signature', () => {
  it('A signature as Twilio makes it may be one', () => {
    expect(isSignature(sign('12345', 'wss://relay.example.com/media'))).toBe(true);
  });

  it.each([
    undefined,
    '',
    'nonsense',
    ['a', 'b'],
    `${'A'.repeat(28)}`,
    `${'A'.repeat(26)}-=`,
    `${'A'.repeat(5_000)}=`,
  ])('No signature is %j', (header) => {
    expect(isSignature(header)).toBe(false);
  });
});
