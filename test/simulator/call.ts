// npm run call: a simulated phone calls a server that is running, with whatever assistant is behind it.
import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { config as loadEnv } from 'dotenv';
import { BYTES_PER_MS } from '../../src/wire/audio.ts';
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

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

function readArguments() {
  const options = {
    url: { type: 'string', default: 'http://localhost:3000' },
    save: { type: 'string' },
  } as const;
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    if (positionals.length > 1) fail(USAGE);
    const fallback = fileURLToPath(new URL('../fixtures/question.wav', import.meta.url));
    return { ...values, speech: positionals[0] ?? fallback };
  } catch (error) {
    fail(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  }
}

async function recording(file: string): Promise<Uint8Array> {
  try {
    return readWav(await readFile(file));
  } catch (error) {
    return fail(`${file}: ${error instanceof Error ? error.message : error}`);
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
  const { reason, httpStatus } = await phone.ended;
  const hint =
    httpStatus === 403
      ? "TWILIO_AUTH_TOKEN or PUBLIC_URL is not the server's."
      : `Is the server running at ${url}?`;
  fail(`The call was not taken: ${reason}. ${hint}`);
}
const answered = await converse();
const end = await phone.hangUp();

const rows: Record<string, string> = { 'heard by the caller': seconds(phone.heardMs) };
const firstSound = timeToFirstSound(events);
if (!Number.isNaN(firstSound)) rows['time to first sound'] = seconds(firstSound);
if (save !== undefined) {
  await writeFile(save, writeWav(phone.heard)).catch((error: NodeJS.ErrnoException) => {
    console.error(`${save} can't be written (${error.code}).`);
    process.exitCode = 1;
  });
  rows['saved to'] = save;
}
console.log(`\n${table(rows)}\n`);
if (end.by !== 'caller') fail(`The call was ended by the server (${end.code}): its log says why.`);
if (!answered) fail('The assistant did not answer.');

/** Hears the greeting out, says the words, and hears the answer out; returns whether there was one. */
async function converse(): Promise<boolean> {
  if (await heardWithin(phone, GREETING_MS)) await phone.untilSilentFor(FINISHED_MS);
  if (events.some(({ type }) => type === 'closed')) return false;
  narrator.tell(`caller  says ${seconds(words.length / BYTES_PER_MS)} of speech`);
  await phone.say(words);
  const answered = await heardWithin(phone, ANSWER_MS);
  await phone.untilSilentFor(FINISHED_MS);
  return answered;
}
