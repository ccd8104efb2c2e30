import { describe, expect, it } from 'vitest';
import { isSignature, sign } from '../../src/wire/auth.ts';

describe('A signature', () => {
  it('covers the address and the sorted parameters of a form', () => {
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
  ])('of the WebSocket %s covers its address alone', (url, signature) => {
    expect(sign('12345', url)).toBe(signature);
  });

  it('sorts names by bytes, and takes each value of a repeated one once', () => {
    expect(sign('t', 'https://a.b/', { b: ['2', '1', '2'], B: 'x', a: '' })).toBe(
      sign('t', 'https://a.b/Bxab1b2'),
    );
  });
});

describe('A signature header', () => {
  it('is one as Twilio makes it', () => {
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
  ])('is none when it is %j', (header) => {
    expect(isSignature(header)).toBe(false);
  });
});
