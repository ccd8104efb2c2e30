// npm run demo: the real server, between a simulated phone and a parrot that stands in for OpenAI.
import { EventEmitter, once } from 'node:events';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type CallerEvent, type PhoneCall, placeCall } from './caller.ts';
import { converseByKeys, faultsByKeys } from './demo-keys.ts';
import { callerLine, Narrator, only, parrotLine, seconds, table, timeToFirstSound } from './narrator.ts';
import type { ParrotEvent } from './parrot.ts';
import { startParrotServer } from './parrot-server.ts';
import type { ParrotSession } from './parrot-session.ts';
import { recording } from './recording.ts';
import { writeWav } from './wav.ts';

/** How far a reported cut may be off what was heard: the simulators keep time by timers. */
const CUT_TOLERANCE_MS = 50;
/** No call takes this long unless something hangs. */
const LONGEST_MS = 30_000;

/** Asks something, talks over the answer, hears the next one out, has something looked up, and is hung up on. */
async function converse(phone: PhoneCall, narrator: Narrator): Promise<void> {
  await phone.untilPlaying();
  await phone.untilSilentFor(300);
  await phone.say(recording('question'));
  await phone.untilPlaying();
  await pause(1_200);
  await phone.say(recording('interruption'));
  await phone.untilPlaying();
  await phone.untilSilentFor(400);
  await converseByKeys(phone, narrator);
}

console.log(`The real server, called by a simulated phone that plays recorded speech, with a parrot in
OpenAI's place that says back what it hears. No accounts, no network.\n`);

const timer = setTimeout(() => {
  console.error(`The call hung: it should have been over in ${seconds(LONGEST_MS)}.`);
  process.exit(1);
}, LONGEST_MS);
const narrator = new Narrator();
const callerEvents: CallerEvent[] = [];
const parrotEvents: ParrotEvent[] = [];
const news = new EventEmitter();
let first: ParrotSession | undefined;

const server = await startParrotServer((event, session) => {
  // The first session, dialled ahead, is this call's; the next only waits for another call.
  first ??= session;
  if (session !== first) return;
  parrotEvents.push(event);
  narrator.tell(`parrot  ${parrotLine(event)}`);
  news.emit(event.type);
});
const { url, authToken } = server;

narrator.tell(`caller  dials ${url}`);
const phone = await placeCall({
  url,
  authToken,
  onEvent(event) {
    callerEvents.push(event);
    narrator.tell(`caller  ${callerLine(event)}`);
  },
});
const left = once(news, 'closed');
await converse(phone, narrator);
await left;
const calls = await server.liveCalls();
await server.close();
clearTimeout(timer);

const wav = join(await mkdtemp(join(tmpdir(), 'voice-relay-')), 'heard.wav');
await writeFile(wav, writeWav(phone.heard));

const turns = only(parrotEvents, 'speech-stopped');
const cuts = only(parrotEvents, 'truncated');
// The caller talks over the answer, which is the second reply.
const reported = cuts[0]?.audioEndMs ?? Number.NaN;
const sent = only(parrotEvents, 'reply-done')[1]?.ms ?? Number.NaN;
const heard = sent - (only(callerEvents, 'cleared')[0]?.unheardMs ?? Number.NaN);
console.log(`
${table({
  'time to first sound': seconds(timeToFirstSound(callerEvents)),
  turns: String(turns.length),
  'tools called': only(parrotEvents, 'tool-called')
    .map(({ name }) => name)
    .join(', '),
  'barge-ins': `${cuts.length}, cut at ${seconds(reported)}; the caller had heard ${seconds(heard)}`,
  'speech heard by the parrot': seconds(turns.reduce((sum, { turnMs }) => sum + turnMs, 0)),
  'speech heard by the caller': seconds(phone.heardMs),
  'what the caller heard': wav,
})}
`);

const faults = [
  ...phone.warnings.map(({ code, detail }) => `Twilio would warn: ${code} ${detail}`),
  ...only(parrotEvents, 'error').map(({ message }) => `the parrot objects: ${message}`),
];
faults.push(...faultsByKeys(parrotEvents, callerEvents, phone.heardMs));
if (turns.length !== 2) faults.push('the parrot did not hear two turns');
const sounds = only(callerEvents, 'first-sound').length;
if (sounds !== 5) faults.push(`the caller heard the assistant begin ${sounds} times`);
if (cuts.length !== 1) faults.push(`there were ${cuts.length} barge-ins, not 1`);
if (!(Math.abs(reported - heard) <= CUT_TOLERANCE_MS))
  faults.push('the cut is not where the caller stopped hearing');
if (calls !== 0) faults.push(`the server still counts ${calls} live calls`);
for (const fault of faults) console.error(`Something is wrong: ${fault}.`);
if (faults.length === 0) console.log('All went as it should.');
process.exitCode = faults.length === 0 ? 0 : 1;
