// npm run phone: a telephone in the browser that calls a server.
import { parseArgs } from 'node:util';
import { fail, messageOf, readPort, readServer, SERVER_OPTIONS, whyNotListening } from './command-line.ts';
import { startDesk } from './desk.ts';
import { Narrator } from './narrator.ts';
import type { ParrotEvent } from './parrot.ts';
import { startParrotServer } from './parrot-server.ts';

const USAGE = `Usage: npm run phone -- [--url http://localhost:3000] [--from +1…] [--to +1…] [--port 3001] [--parrot]
       [--direction inbound|outbound] [--dialled completed|busy|no-answer]

Serves a page with a telephone on 127.0.0.1, which calls a running server as Twilio would, with your
microphone. --parrot starts a server, too, and a parrot in OpenAI's place, which says back what it hears;
the keys 1 # have it look something up, and 2 # hang up.
TWILIO_AUTH_TOKEN, which signs the requests, PUBLIC_URL and PORT are those of the environment or .env.`;

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

function readArguments() {
  const options = {
    ...SERVER_OPTIONS,
    port: { type: 'string', default: '3001' },
    parrot: { type: 'boolean', default: false },
  } as const;
  try {
    const { port: portText, parrot: isParrot, ...values } = parseArgs({ options }).values;
    const port = readPort(portText);
    const server = readServer(values);
    if (port === undefined) return fail('--port takes a number up to 65535.');
    if (isParrot && values.url !== undefined)
      return fail('--parrot starts a server of its own: leave out --url.');
    return { server, port, isParrot };
  } catch (error) {
    return fail(`${messageOf(error)}\n\n${USAGE}`);
  }
}

const { server, port, isParrot } = readArguments();
const narrator = new Narrator();
let onParrot: (event: ParrotEvent) => void = () => {};

const parrotServer = isParrot
  ? await startParrotServer((event) => {
      // A ready session has no call yet.
      if (event.type !== 'session-ready') onParrot(event);
    })
  : undefined;
const desk = await startDesk({
  port,
  isParrot,
  server: {
    ...server,
    ...(parrotServer && {
      url: parrotServer.url,
      authToken: parrotServer.authToken,
      publicUrl: parrotServer.url,
    }),
  },
  narrate: (line) => narrator.tell(line),
}).catch((error: unknown) => fail(whyNotListening(port, error)));
onParrot = desk.onParrot;
let isEnding = false;
for (const signal of SIGNALS) {
  process.on(signal, () => {
    // The terminal and npm both send it.
    if (!isEnding) void end();
    isEnding = true;
  });
}
const hint = isParrot ? ', and talk to the parrot; 1 # has it look something up, 2 # hang up' : '';
console.log(`Open ${desk.url}${hint}. Ctrl-C ends it.`);

async function end(): Promise<void> {
  await desk.close();
  await parrotServer?.close();
  process.exit(0);
}
