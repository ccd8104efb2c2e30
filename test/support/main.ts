// The process of `src/main.ts` with the tests' assistant.
import { start } from '../../src/start.ts';
import { assistant } from '../simulator/assistant.ts';

await start(async () => {
  const { GREETING: greeting = assistant.greeting } = process.env;
  return { assistant: { ...assistant, greeting } };
});
