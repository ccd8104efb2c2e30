// The process of `src/main.ts` with the tests' assistant.
import { start } from '../../src/start.ts';
import { assistant } from '../simulator/assistant.ts';

await start(async () => ({ assistant: { ...assistant, ...JSON.parse(process.env.CHANGES ?? '{}') } }));
