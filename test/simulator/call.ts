// npm run call: a simulated phone calls a server that is running, with whatever assistant is behind it.
import { existsSync } from 'node:fs';
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { config as loadEnv } from 'dotenv';
import { BYTES_PER_MS } from '../../src/wire/audio.ts';
import { type CallerEvent, type PhoneCall, placeCall } from './caller.ts';
import { callerLine, Narrator, seconds, table, timeToFirstSound } from './narrator.ts';
import { readWav, WavError, writeWav } from './wav.ts';

const USAGE = `Usage: npm run call -- [--url http://localhost:3000] [--save reply.wav] [speech.wav]

Calls a running server as Twilio would, says what is in speech.wav (8 kHz mono; a recorded question
without it), hears the answer out and hangs up. --save keeps what the caller heard. TWILIO_AUTH_TOKEN,
which signs the requests, PUBLIC_URL and PORT are those of the environment or .env.`;

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
    url: { type: 'string', default: `http://localhost:${process.env.PORT || 3000}` },
    save: { type: 'string' },
  } as const;
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    if (positionals.length > 1) fail(`There is one recording at most.\n\n${USAGE}`);
    if (!/^https?:\/\/[^/]+\/?$/.test(values.url))
      fail('--url takes an address such as http://localhost:3000.');
    const fallback = fileURLToPath(new URL('../fixtures/question.wav', import.meta.url));
    return { ...values, speech: positionals[0] ?? fallback };
  } catch (error) {
    fail(`${messageOf(error)}\n\n${USAGE}`);
  }
}

async function recording(file: string): Promise<Uint8Array> {
  try {
    return readWav(await readFile(file));
  } catch (error) {
    if (!(error instanceof WavError)) return fail(`${file} can't be read: ${messageOf(error)}`);
    const { message, isConvertible } = error;
    return fail(`${file} ${message}.${isConvertible ? `\n\n${howToConvert(file)}` : ''}`);
  }
}

function howToConvert(file: string): string {
  return `Convert it with  sox '${file}' -r 8000 -c 1 -b 16 speech.wav
or with          ffmpeg -i '${file}' -ar 8000 -ac 1 -c:a pcm_s16le speech.wav`;
}

/** Fails unless `file` can be written; creates it, if need be, and returns what takes that back. */
async function checkWritable(file: string): Promise<() => Promise<void>> {
  const existed = existsSync(file);
  try {
    await (await open(file, 'a')).close();
  } catch (error) {
    fail(`${file} can't be written: ${messageOf(error)}`);
  }
  return async () => {
    if (!existed) await rm(file);
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether the assistant is heard within `ms`; false, too, if the call ended. */
function heardWithin(phone: PhoneCall, ms: number): Promise<boolean> {
  return Promise.race([phone.untilPlaying(), pause(ms, false, { ref: false })]);
}

loadEnv({ quiet: true });
const { url, save, speech } = readArguments();
const words = await recording(speech);
const unsave = save === undefined ? undefined : await checkWritable(save);
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
    // A call that nobody answered is told of below.
    if (events.some(({ type }) => type === 'answered')) narrator.tell(`caller  ${callerLine(event)}`);
  },
});
if (!events.some(({ type }) => type === 'stream-started')) {
  const { reason, httpStatus } = await phone.ended;
  await unsave?.();
  if (httpStatus === 403) fail(`The call was refused: TWILIO_AUTH_TOKEN or PUBLIC_URL is not the server's.`);
  if (httpStatus !== undefined) fail(`The call was not taken: ${reason}.`);
  fail(`No server answers at ${url}. Start one with  npm run dev
or, without an account at OpenAI, with  npm run parrot  and what that tells you.`);
}
const answered = await converse();
const end = await phone.hangUp();

const rows: Record<string, string> = { 'heard by the caller': seconds(phone.heardMs) };
const firstSound = timeToFirstSound(events);
if (!Number.isNaN(firstSound)) rows['time to first sound'] = seconds(firstSound);
if (save !== undefined && phone.heardMs > 0) {
  await writeFile(save, writeWav(phone.heard));
  rows['saved to'] = save;
} else {
  await unsave?.();
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
