// npm run parrot: the stand-in for OpenAI, on a port of its own, for as long as it is left to run.
import { parseArgs } from 'node:util';
import { fail, readPort, whyNotListening } from './command-line.ts';
import { Narrator, parrotLine } from './narrator.ts';
import { startParrot } from './parrot.ts';
import { recording } from './recording.ts';

const USAGE = 'Usage: npm run parrot -- [--port 3002]';

function readArguments(): number {
  try {
    const { values } = parseArgs({ options: { port: { type: 'string', default: '3002' } } });
    return readPort(values.port) ?? fail(USAGE);
  } catch {
    return fail(USAGE);
  }
}

const port = readArguments();
const narrator = new Narrator();

const parrot = await startParrot({
  port,
  greeting: recording('greeting'),
  onEvent: (event) => narrator.tell(`parrot  ${parrotLine(event)}`),
}).catch((error: unknown) => fail(`${whyNotListening(port, error)}\n${USAGE}`));
console.log(`To have a server talk to the parrot, set in .env, with any OPENAI_API_KEY:
OPENAI_REALTIME_URL=${parrot.url}
The keys 1 # have it call the first tool of yours, without arguments, 2 # the second, and so on.`);
