import { expect, it } from 'vitest';
import { rollingRestarts } from './support/rolling.ts';

it('Of the calls to three servers behind a balancer, each restarted in turn, none is refused, cut or lost', {
  timeout: 120_000,
}, async () => {
  const { calls, lost, exitCodes } = await rollingRestarts(6, 50);
  expect(lost).toEqual([]);
  expect(calls).toBeGreaterThanOrEqual(50);
  expect(exitCodes).toEqual([0, 0, 0]);
});
