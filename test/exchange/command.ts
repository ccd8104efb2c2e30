// npm run exchange: so many simulated calls from a seed on, until one breaks a rule.
import { parseArgs } from 'node:util';
import { firstFault } from './exchange.ts';

const { values } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, calls: { type: 'string', default: '5000' } },
});
const [seed, calls] = [Number(values.seed), Number(values.calls)];
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(calls)) {
  console.error('Usage: npm run exchange -- --seed N --calls N');
  process.exit(2);
}

const began = performance.now();
let told = began;
let played = 0;
let simulatedMs = 0;

/** How it goes: the calls so far, per minute of processor time, and simulated against real time. */
function progress(): string {
  const { user, system } = process.cpuUsage();
  const minutes = (user + system) / 60_000_000;
  const speed = simulatedMs / (performance.now() - began);
  return `${played} calls, ${Math.round(played / minutes)} a minute of processor time, ${speed.toFixed(0)} times as fast as real time`;
}

const fault = await firstFault(seed, calls, ({ world }) => {
  played += world.twilio.calls.length;
  simulatedMs += world.clock.now;
  if (performance.now() - told < 1_000) return;
  told = performance.now();
  console.log(progress());
});
console.log(fault ?? `${progress()}: no rule is broken`);
process.exitCode = fault === undefined ? 0 : 1;
