import { describe, expect, it } from 'vitest';
import { loggable, withoutKey } from '../../src/wire/loggable.ts';

describe("A stranger's text", () => {
  it('is cut after 200 characters', () => {
    expect(loggable('x'.repeat(200))).toBe('x'.repeat(200));
    expect(loggable('x'.repeat(16_384))).toBe(`${'x'.repeat(200)}…`);
  });

  it.each([
    ['a\u001b[31mb', 'a\\u{1b}[31mb'],
    ['a\nb', 'a\\u{a}b'],
    ['a\u009b31mb', 'a\\u{9b}31mb'],
    ['a\u202eb', 'a\\u{202e}b'],
    ['a\u2066b', 'a\\u{2066}b'],
  ])('has control characters escaped in %j', (text, logged) => {
    expect(loggable(text)).toBe(logged);
  });

  it('grows no longer when it is escaped', () => {
    expect(loggable('\u0000'.repeat(200)).length).toBeLessThanOrEqual(201);
  });
});

describe('The text of OpenAI, or of its socket', () => {
  it.each([
    ['Incorrect API key provided: sk-proj-ab*yz. Find it.', 'Incorrect API key provided: sk-… Find it.'],
    ['A letter before it: xsk-proj-abcdefghijklmnop', 'A letter before it: xsk-…'],
    ['No key is risk-free.', 'No key is risk-free.'],
    ['In capitals: SK-PROJ-ABYZ', 'In capitals: sk-…'],
    ['The key my-own-key, is refused.', 'The key …, is refused.'],
    ['No key in it.', 'No key in it.'],
  ])('has no part of a key in: %s', (text, logged) => {
    expect(withoutKey(text, 'my-own-key')).toBe(logged);
  });

  it('ends without the line break that OpenSSL ends it with', () => {
    expect(withoutKey('wrong version number:355:\n', 'my-own-key')).toBe('wrong version number:355:');
  });

  it('is cut after 500 characters, with no part of a key at the edge', () => {
    const text = withoutKey(`${'x'.repeat(495)} my-own-key and more`, 'my-own-key');
    expect(text).toBe(`${'x'.repeat(495)} … an…`);
  });
});
