// npm run call: a simulated phone calls a server that is running, with whatever assistant is behind it.
import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { config as loadEnv } from 'dotenv';
import { BYTES_PER_MS } from '../twilio.ts';
import { type CallerEvent, type PhoneCall, placeCall } from './caller.ts';
import { callerLine, Narrator, seconds, table, timeToFirstSound } from './narrator.ts';
import { readWav, writeWav } from './wav.ts';

const USAGE = `Usage: npm run call -- [--url http://localhost:3000] [--save reply.wav] [speech.wav]

Calls a running server as Twilio would, says what is in speech.wav (8 kHz mono; a recorded question
without it), hears the answer out and hangs up. --save keeps what the caller heard. The requests are
signed with TWILIO_AUTH_TOKEN, if that is in the environment or .env.`;

/** A greeting that hasn't begun by then is taken not to come; the caller speaks first. */
const GREETING_MS = 8_000;
const ANSWER_MS = 20_000;
/** A pause this long means that the assistant has finished. */
const FINISHED_MS = 1_200;

interface Arguments {
  url: string;
  save: string | undefined;
  speech: string;
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

function readArguments(): Arguments {
  const options = {
    url: { type: 'string', default: 'http://localhost:3000' },
    save: { type: 'string' },
    help: { type: 'boolean' },
  } as const;
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    if (values.help) {
      console.log(USAGE);
      process.exit(0);
    }
    if (positionals.length > 1) fail(USAGE);
    if (!/^https?:\/\/[^/]+\/?$/.test(values.url))
      fail(`--url takes an address such as http://localhost:3000.`);
    const fallback = fileURLToPath(new URL('../../test/fixtures/question.wav', import.meta.url));
    return { url: values.url, save: values.save, speech: positionals[0] ?? fallback };
  } catch (error) {
    fail(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  }
}

async function recording(file: string): Promise<Uint8Array> {
  try {
    return readWav(await readFile(file));
  } catch (error) {
    fail(`${file} ${error instanceof Error ? error.message : error}`);
  }
}

/** Whether the assistant is heard within `ms`; false, too, if the call ended. */
function heardWithin(phone: PhoneCall, ms: number): Promise<boolean> {
  return Promise.race([phone.untilPlaying(), pause(ms, false, { ref: false })]);
}

loadEnv({ quiet: true });
const { url, save, speech } = readArguments();
const words = await recording(speech);
const narrator = new Narrator();
const events: CallerEvent[] = [];

narrator.tell(`caller  dials ${url}`);
const { TWILIO_AUTH_TOKEN: authToken, PUBLIC_URL: publicUrl } = process.env;
const phone = await placeCall({
  url,
  ...(authToken && { authToken }),
  ...(publicUrl && { publicUrl }),
  onEvent(event) {
    events.push(event);
    narrator.tell(`caller  ${callerLine(event)}`);
  },
});
if (!events.some(({ type }) => type === 'stream-started')) {
  const { reason } = await phone.ended;
  fail(`The call was not taken: ${reason}. Is the server running at ${url}?`);
}
if (await heardWithin(phone, GREETING_MS)) await phone.untilSilentFor(FINISHED_MS);
narrator.tell(`caller  says ${seconds(words.length / BYTES_PER_MS)} of speech`);
await phone.say(words);
const answered = await heardWithin(phone, ANSWER_MS);
await phone.untilSilentFor(FINISHED_MS);
const end = await phone.hangUp();

if (save !== undefined) await writeFile(save, writeWav(phone.heard));
console.log(`
${table({
  'time to first sound': seconds(timeToFirstSound(events)),
  'heard by the caller': seconds(phone.heardMs),
  ...(save !== undefined && { 'saved to': save }),
})}
`);
if (end.by !== 'caller') fail(`The call was ended by the server${end.reason && `: ${end.reason}`}.`);
if (!answered) fail('The assistant did not answer.');
