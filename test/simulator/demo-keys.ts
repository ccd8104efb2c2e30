import { hangUp, type Tool } from '../../src/contract.ts';
import type { KeyMeaning } from './parrot.ts';

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
