import { beforeEach, expect, it } from 'vitest';
import type { Effect } from '../../src/conversation/effect.ts';
import { Keypad } from '../../src/conversation/keypad.ts';

let keypad: Keypad;
beforeEach(() => {
  keypad = new Keypad();
});

/** The digits in what the model is to be told. */
function digitsIn(effect: Effect | undefined): string | undefined {
  return /pressed (?<digits>.*) on the keypad/
    .exec(JSON.stringify(effect) ?? '')
    ?.groups?.digits?.replaceAll(' ', '');
}

/** Presses one key after the other at `now`; returns what is to be told then. */
function press(keys: string, now = 0): string | undefined {
  for (const key of keys) keypad.press(key, now);
  return tick(now);
}

const tick = (now: number) => digitsIn(keypad.take(true, now)[0]);

it('Keys are collected until the pound key, which is not one of them', () => {
  expect(press('1*3')).toBeUndefined();
  expect(press('#')).toBe('1*3');
});

it('Keys are collected until 1.5 s after the last', () => {
  press('1', 10_000);
  press('2', 11_000);
  expect(tick(12_499)).toBeUndefined();
  expect(tick(12_500)).toBe('12');
});

it('Keys are collected until there are 32', () => {
  expect(press('1'.repeat(31))).toBeUndefined();
  expect(press('2')).toBe(`${'1'.repeat(31)}2`);
});

it('The pound key alone is nothing', () => {
  expect(press('#')).toBeUndefined();
  expect(tick(60_000)).toBeUndefined();
});

it.each([
  ['the pound key', () => press('12#')],
  ['a pause', () => press('12') ?? tick(1_500)],
  ['the 32nd key', () => press('1'.repeat(32))],
])('What was collected is told once, and the next number begins anew, after %s', (_, collect) => {
  expect(collect()).toBeDefined();
  expect(keypad.begins('7')).toBe(true);
  expect(tick(60_000)).toBeUndefined();
  expect(press('7#', 60_000)).toBe('7');
});

it('A key begins a number, and the pound key does not', () => {
  expect(keypad.begins('#')).toBe(false);
  expect(keypad.begins('0')).toBe(true);
  press('0');
  expect(keypad.begins('1')).toBe(false);
});

it('Every key is counted', () => {
  press('12#3');
  expect(keypad.pressed).toBe(4);
});
