// npm run parrot: the stand-in for OpenAI, on a port of its own, for as long as it is left to run.
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { Narrator, parrotLine } from './narrator.ts';
import { startParrot } from './parrot.ts';
import { readWav } from './wav.ts';

const USAGE = 'Usage: npm run parrot -- [--port 3002]';

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

function readPort(): number {
  try {
    const { values } = parseArgs({ options: { port: { type: 'string', default: '3002' } } });
    return /^\d{1,5}$/.test(values.port) ? Number(values.port) : fail(USAGE);
  } catch {
    return fail(USAGE);
  }
}

const narrator = new Narrator();

const parrot = await startParrot({
  port: readPort(),
  greeting: readWav(await readFile(new URL('../fixtures/greeting.wav', import.meta.url))),
  onEvent: (event) => narrator.tell(`parrot  ${parrotLine(event)}`),
}).catch((error: Error) => fail(`The parrot can't listen: ${error.message}.\n${USAGE}`));
console.log(`To have a server talk to the parrot, set in .env:\nOPENAI_REALTIME_URL=${parrot.url}`);
