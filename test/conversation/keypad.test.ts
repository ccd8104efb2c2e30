import { beforeEach, describe, expect, it } from 'vitest';
import { Keypad } from '../../src/conversation/keypad.ts';

let keypad: Keypad;
beforeEach(() => {
  keypad = new Keypad();
});

/** Presses one key after the other at `now`; returns the number that is complete then. */
function press(keys: string, now = 0): string | undefined {
  for (const key of keys) keypad.press(key, now);
  return keypad.take(true, now);
}

describe('The keypad', () => {
  it('collects keys until the pound key, which is not one of them', () => {
    expect(press('1*3')).toBeUndefined();
    expect(keypad.isCollecting).toBe(true);
    expect(press('#')).toBe('1*3');
    expect(keypad.isCollecting).toBe(false);
  });

  it('collects keys until 1.5 s after the last', () => {
    press('1', 10_000);
    press('2', 11_000);
    expect(keypad.take(true, 12_499)).toBeUndefined();
    expect(keypad.take(true, 12_500)).toBe('12');
  });

  it('waits no longer if the clock goes back by a stall', () => {
    press('1', 10_000);
    expect(keypad.take(true, 7_000)).toBeUndefined();
    expect(keypad.take(true, 8_500)).toBe('1');
  });

  it('collects 32 keys at most', () => {
    expect(press('1'.repeat(31))).toBeUndefined();
    expect(press('2')).toBe(`${'1'.repeat(31)}2`);
  });

  it('returns the pound key if it is alone', () => {
    expect(press('#')).toBe('#');
  });

  it.each([
    ['the pound key', () => press('12#')],
    ['a pause', () => press('12') ?? keypad.take(true, 1_500)],
    ['the 32nd key', () => press('1'.repeat(32))],
  ])('begins a new number after %s', (_, collect) => {
    expect(collect()).toBeDefined();
    expect(keypad.take(true, 60_000)).toBeUndefined();
    expect(press('7#', 60_000)).toBe('7');
  });

  it('keeps a number until a session is ready', () => {
    press('1');
    expect(keypad.take(false, 60_000)).toBeUndefined();
    expect(keypad.take(true, 60_000)).toBe('1');
  });

  it('keeps two numbers apart that wait for a session', () => {
    for (const key of '12#34#') keypad.press(key, 0);
    expect(keypad.take(true, 0)).toBe('12#34');
  });

  it.each(['##', '#1'])('keeps %s as it was pressed while it waits', (keys) => {
    for (const key of keys) keypad.press(key, 0);
    expect(keypad.take(true, 60_000)).toBe(keys);
  });

  it('returns 20 numbers a minute at most', () => {
    let told = 0;
    for (let now = 0; now < 180_000; now += 250) {
      if (now % 1_000 === 0) keypad.press('#', now);
      if (keypad.take(true, now) !== undefined) told += 1;
    }
    expect(told).toBe(60);
  });
});
