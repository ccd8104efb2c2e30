// The part of the demo in which the caller presses keys: one has the assistant look something up, one has it hang up.
import { setTimeout as pause } from 'node:timers/promises';
import { hangUp, type Tool } from '../../src/contract.ts';
import type { CallerEvent, PhoneCall } from './caller.ts';
import { type Narrator, only } from './narrator.ts';
import type { KeyMeaning, ParrotEvent } from './parrot.ts';

/** How long the caller waits for an answer or an end, in ms. */
const PATIENCE_MS = 8_000;

/** What the assistant of the demo can do. */
export const DEMO_TOOLS: Tool[] = [
  {
    name: 'get_time',
    description: 'Returns the time in a city.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    run: ({ city }) => ({ city, time: '12:00' }),
  },
  { name: 'hang_up', description: 'Ends the call, once the caller has said goodbye.', run: () => hangUp() },
];

/** What the keys mean to the parrot, which says `goodbye` before it hangs up. */
export function demoKeys(goodbye: Uint8Array): Record<string, KeyMeaning> {
  return {
    1: { tool: 'get_time', args: { city: 'Oslo' } },
    2: { tool: 'hang_up', args: {}, says: goodbye },
  };
}

/** Has something looked up, hears the answer out, and asks to be hung up on; the assistant must be silent by now. */
export async function converseByKeys(phone: PhoneCall, narrator: Narrator): Promise<void> {
  narrator.tell('caller  wants to hear the time');
  phone.press('1#');
  await withPatience(phone.untilPlaying());
  await phone.untilSilentFor(300);
  narrator.tell('caller  wants to end the call');
  phone.press('2#');
  await withPatience(phone.ended);
  await phone.hangUp();
}

/** What went otherwise than it should, of what the keys asked for and of how the call ended. */
export function faultsByKeys(parrot: ParrotEvent[], caller: CallerEvent[], heardMs: number): string[] {
  return [...faultsOfTools(parrot), ...faultsOfGoodbye(parrot, caller, heardMs), ...faultsOfEnd(caller)];
}

function faultsOfTools(events: ParrotEvent[]): string[] {
  const called = only(events, 'tool-called').map(({ name }) => name);
  const faults =
    called.join() === 'get_time,hang_up' ? [] : [`the parrot called ${called.join() || 'no tool'}`];
  const answered = only(events, 'tool-answered').some(({ name }) => name === 'get_time');
  return answered ? faults : [...faults, 'the parrot was not told the time'];
}

/** The goodbye is the last that the caller hears, so that one that was cut would be missing from all that was heard. */
function faultsOfGoodbye(parrot: ParrotEvent[], caller: CallerEvent[], heardMs: number): string[] {
  const saidMs = only(parrot, 'reply-done').reduce((sum, { ms }) => sum + ms, 0);
  const clearedMs = only(caller, 'cleared').reduce((sum, { unheardMs }) => sum + unheardMs, 0);
  const missingMs = Math.ceil(saidMs - clearedMs - heardMs);
  return missingMs > 0 ? [`the caller did not hear the last ${missingMs} ms of the goodbye`] : [];
}

function faultsOfEnd(events: CallerEvent[]): string[] {
  const closed = only(events, 'closed')[0];
  const twiml = only(events, 'twiml')[0]?.twiml ?? '';
  const faults = closed?.by === 'server' && closed.code === 1000 ? [] : ['the server did not end the call'];
  return /<Response><Hangup\/><\/Response>/.test(twiml)
    ? faults
    : [...faults, 'Twilio was not told to hang up'];
}

function withPatience(happens: Promise<unknown>): Promise<unknown> {
  return Promise.race([happens, pause(PATIENCE_MS, undefined, { ref: false })]);
}
