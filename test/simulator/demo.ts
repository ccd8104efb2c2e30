// npm run demo: the real server, between a simulated phone and a parrot that stands in for OpenAI.
import { EventEmitter, once } from 'node:events';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type CallerEvent, type PhoneCall, placeCall } from './caller.ts';
import { callerLine, Narrator, only, parrotLine, seconds, table, timeToFirstSound } from './narrator.ts';
import type { ParrotEvent } from './parrot.ts';
import { startParrotServer } from './parrot-server.ts';
import type { ParrotSession } from './parrot-session.ts';
import { recording } from './recording.ts';
import { writeWav } from './wav.ts';

/** How far a reported cut may be off what was heard, in ms: the simulators keep time by timers. */
const CUT_TOLERANCE_MS = 50;
/** No call takes this long, in ms, unless something hangs. */
const LONGEST_MS = 30_000;

/** Asks, talks over the answer, has a key look something up, and another hang up. */
async function converse(phone: PhoneCall): Promise<void> {
  await phone.untilPlaying();
  await phone.untilSilentFor(300);
  await phone.say(recording('question'));
  await phone.untilPlaying();
  await pause(1_200);
  await phone.say(recording('interruption'));
  await phone.untilPlaying();
  await phone.untilSilentFor(400);
  narrator.tell('caller  wants to hear the time');
  phone.press('1#');
  await phone.untilPlaying();
  await phone.untilSilentFor(300);
  narrator.tell('caller  wants to end the call');
  phone.press('2#');
  await phone.ended;
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
  // The first session, dialled ahead, is this call's. The next is on standby.
  first ??= session;
  if (session !== first) return;
  parrotEvents.push(event);
  narrator.tell(`parrot  ${parrotLine(event)}`);
  // An emitter throws an event that is named error.
  if (event.type !== 'error') news.emit(event.type);
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
await converse(phone);
await left;
const calls = await server.liveCalls();
await server.close();
clearTimeout(timer);

const wav = join(await mkdtemp(join(tmpdir(), 'voice-relay-')), 'heard.wav');
await writeFile(wav, writeWav(phone.heard));

const turns = only(parrotEvents, 'speech-stopped');
const cuts = only(parrotEvents, 'truncated');
const tools = only(parrotEvents, 'tool-called').map(({ name }) => name);
const sounds = only(callerEvents, 'first-sound').length;
const replies = only(parrotEvents, 'reply-done');
// The caller talks over the answer, which is the second reply.
const reported = cuts[0]?.audioEndMs ?? Number.NaN;
const unheard = only(callerEvents, 'cleared')[0]?.unheardMs ?? Number.NaN;
const heard = (replies[1]?.ms ?? Number.NaN) - unheard;
// The goodbye comes last: what is missing was cut from it.
const missing = replies.reduce((sum, { ms }) => sum + ms, 0) - unheard - phone.heardMs;
console.log(`
${table({
  'time to first sound': seconds(timeToFirstSound(callerEvents)),
  turns: String(turns.length),
  'tools called': tools.join(', '),
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
function check(isRight: boolean, fault: string): void {
  if (!isRight) faults.push(fault);
}
const [told] = only(callerEvents, 'twiml');
check(tools.join() === 'get_time,hang_up', `the parrot called ${tools.join() || 'no tool'}`);
check(only(parrotEvents, 'tool-answered')[0]?.name === 'get_time', 'the parrot was not told the time');
check(missing < 1, `the caller did not hear the last ${Math.ceil(missing)} ms of the goodbye`);
check((await phone.ended).code === 1000, 'the server did not end the call');
check(told?.twiml.includes('<Response><Hangup/></Response>') === true, 'Twilio was not told to hang up');
check(turns.length === 2, 'the parrot did not hear two turns');
check(sounds === 5, `the caller heard the assistant begin ${sounds} times`);
check(cuts.length === 1, `there were ${cuts.length} barge-ins, not 1`);
check(Math.abs(reported - heard) <= CUT_TOLERANCE_MS, 'the cut is not where the caller stopped hearing');
check(calls === 0, `the server still counts ${calls} live calls`);
for (const fault of faults) console.error(`Something is wrong: ${fault}.`);
if (faults.length === 0) console.log('All went as it should.');
process.exitCode = faults.length === 0 ? 0 : 1;
