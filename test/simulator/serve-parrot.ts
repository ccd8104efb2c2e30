// npm run parrot: the stand-in for OpenAI, on a port of its own, for as long as it is left to run.
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { Narrator, parrotLine } from './narrator.ts';
import { startParrot } from './parrot.ts';
import { readWav } from './wav.ts';

const { values } = parseArgs({ options: { port: { type: 'string', default: '3002' } } });
const narrator = new Narrator();

const parrot = await startParrot({
  port: Number(values.port),
  greeting: readWav(await readFile(new URL('../fixtures/greeting.wav', import.meta.url))),
  onEvent: (event) => narrator.tell(`parrot  ${parrotLine(event)}`),
}).catch((error: Error) => {
  console.error(
    `The parrot can't listen: ${error.message}. Give it another port:  npm run parrot -- --port 3003`,
  );
  process.exit(1);
});
console.log(`To have a server talk to the parrot, set  OPENAI_REALTIME_URL=${parrot.url}  in .env`);
