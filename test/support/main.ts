// The server's process as `src/main.ts` starts it, with the tests' own assistant.
import { start } from '../../src/start.ts';
import { assistant } from '../simulator/assistant.ts';

await start(async () => ({ assistant: { ...assistant, ...JSON.parse(process.env.CHANGES ?? '{}') } }));
