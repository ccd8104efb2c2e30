// npm run parrot: the stand-in for OpenAI, on a port of its own, until it is stopped.
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { fail, messageOf, readPort, whyNotListening } from './command-line.ts';
import { readToolCall } from './function-call.ts';
import { Narrator, parrotLine } from './narrator.ts';
import { startParrot } from './parrot.ts';
import { recording } from './recording.ts';

const A_CALL = `a tool's name and its arguments in JSON, such as  book {"day":"Friday"}`;
const USAGE = `Usage: npm run parrot -- [--port 3002] [--tool 'book {"day":"Friday"}']

--tool has it call that tool at the caller's first words, instead of repeating them.`;

function readArguments() {
  const options = { port: { type: 'string', default: '3002' }, tool: { type: 'string' } } as const;
  try {
    const { values } = parseArgs({ options });
    const port = readPort(values.port) ?? fail(USAGE);
    const { tool } = values;
    return {
      port,
      onFirstTurn: tool === undefined ? undefined : (readToolCall(tool) ?? fail(`--tool takes ${A_CALL}`)),
    };
  } catch (error) {
    return fail(`${messageOf(error)}\n\n${USAGE}`);
  }
}

const { port, onFirstTurn } = readArguments();
const narrator = new Narrator();

const parrot = await startParrot({
  port,
  onFirstTurn,
  greeting: recording('greeting'),
  onEvent: (event) => narrator.tell(`parrot  ${parrotLine(event)}`),
}).catch((error: unknown) => fail(`${whyNotListening(port, error)}\n${USAGE}`));
console.log(`To have a server talk to the parrot, set in .env, with any OPENAI_API_KEY:
OPENAI_REALTIME_URL=${parrot.url}
The keys 1 # have it call the first tool of yours, without arguments, 2 # the second, and so on.
A line here has it call a tool at once: ${A_CALL}`);

createInterface({ input: process.stdin }).on('line', (line) => {
  const call = readToolCall(line);
  const session = parrot.sessions.findLast(({ isLive }) => isLive);
  if (call === undefined) console.log(`A line is ${A_CALL}`);
  else if (session === undefined) console.log('There is no call.');
  else session.callTool(call);
});
