// npm run call: a simulated phone that calls a running server, whatever its assistant.
import { existsSync } from 'node:fs';
import { open, rm, writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type CallerEvent, type PhoneCall, placeCall } from './caller.ts';
import { fail, messageOf, readServer, SERVER_OPTIONS } from './command-line.ts';
import { callerLine, Narrator, seconds, table } from './narrator.ts';
import { reportOf } from './report.ts';
import { readSpeech } from './speech.ts';
import { troubleOf } from './trouble.ts';
import { writeWav } from './wav.ts';

const USAGE = `Usage: npm run call -- [--url http://localhost:3000] [--from +1…] [--to +1…] [--keys '1# 2#']
  [--direction inbound|outbound] [--dialled completed|busy|no-answer] [--save reply.wav] [speech.wav]

Calls a running server as Twilio would, says what is in speech.wav (8 kHz mono; a recorded question
without it, nothing with --keys alone), hears the answer out and hangs up.
--url      the server, or its webhook with a query: 'http://localhost:3000/incoming-call?appointment=1'
--keys     keys to press after that; at each space the caller waits for a pause
--dialled  how it ends when the assistant puts the caller through
--save     keeps what the caller heard
TWILIO_AUTH_TOKEN, which signs the requests, PUBLIC_URL and PORT are those of the environment or .env.`;

/** The caller speaks first if no greeting has begun by then. */
const GREETING_MS = 8_000;
const ANSWER_MS = 20_000;
/** A pause this long means that the assistant has finished. */
const FINISHED_MS = 1_200;

function readArguments() {
  const options = {
    ...SERVER_OPTIONS,
    keys: { type: 'string', default: '' },
    save: { type: 'string' },
  } as const;
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    const keys = values.keys.split(' ').filter(Boolean);
    if (positionals.length > 1) fail(`There is one recording at most.\n\n${USAGE}`);
    if (!keys.every((group) => /^[\d*#]+$/.test(group))) fail(`--keys takes 0 to 9, * and #.\n\n${USAGE}`);
    const question =
      keys.length > 0 ? undefined : fileURLToPath(new URL('../fixtures/question.wav', import.meta.url));
    return { server: readServer(values), keys, save: values.save, file: positionals[0] ?? question };
  } catch (error) {
    fail(`${messageOf(error)}\n\n${USAGE}`);
  }
}

async function wordsOf(file: string): Promise<Uint8Array> {
  const { audio, warning } = await readSpeech(file).catch((error: unknown) => fail(messageOf(error)));
  if (warning !== undefined) console.error(`${file} ${warning}.`);
  return audio;
}

/** Fails unless `file` can be written. Creates it if it is missing, and returns the undo. */
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

/** Resolves with whether the assistant is heard within `ms`: false, too, if the call ended. */
function heardWithin(phone: PhoneCall, ms: number): Promise<boolean> {
  return Promise.race([phone.untilPlaying(), pause(ms, false, { ref: false })]);
}

const { server, keys, save, file } = readArguments();
const words = file === undefined ? undefined : await wordsOf(file);
const unsave = save === undefined ? undefined : await checkWritable(save);
const narrator = new Narrator();
const events: CallerEvent[] = [];

narrator.tell(`caller  dials ${server.url}${server.path}`);
const phone = await placeCall({
  ...server,
  onEvent(event) {
    events.push(event);
    // A call that nobody answered is explained below.
    if (events.some(({ type }) => type === 'answered')) narrator.tell(`caller  ${callerLine(event)}`);
  },
});
if (!events.some(({ type }) => type === 'stream-started')) {
  const end = await phone.ended;
  await unsave?.();
  fail(troubleOf(end, events, server.url) ?? 'There was no call.');
}
const answered = await converse();
const end = await phone.hangUp();

const rows: Record<string, string> = { 'heard by the caller': seconds(phone.heardMs) };
const { firstSoundMs, medianMs } = reportOf(events);
if (firstSoundMs !== undefined) rows['time to first sound'] = seconds(firstSoundMs);
if (medianMs !== undefined) rows['from the last word to the answer'] = seconds(medianMs);
if (save !== undefined && phone.heardMs > 0) {
  await writeFile(save, writeWav(phone.heard));
  rows['saved to'] = save;
} else {
  await unsave?.();
}
console.log(`\n${table(rows)}\n`);
const trouble = troubleOf(end, events, server.url);
if (trouble !== undefined) fail(trouble);
if (!answered && end.by === 'caller') fail('The assistant did not answer.');

/** Waits for the greeting, then for the answers to the words and the keys. Resolves with whether all came. */
async function converse(): Promise<boolean> {
  if (await heardWithin(phone, GREETING_MS)) await phone.untilSilentFor(FINISHED_MS);
  const steps = keys.map((group) => () => phone.press(group));
  let answered = true;
  for (const step of [...(words === undefined ? [] : [() => phone.say(words)]), ...steps]) {
    await step();
    answered = (await heardWithin(phone, ANSWER_MS)) && answered;
    await phone.untilSilentFor(FINISHED_MS);
  }
  return answered;
}
