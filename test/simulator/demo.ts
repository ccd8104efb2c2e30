// npm run demo: the real server, between a simulated phone and a parrot that stands in for OpenAI.
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { buildApp } from '../../src/app.ts';
import { readConfig } from '../../src/config.ts';
import { type CallerEvent, type PhoneCall, placeCall } from './caller.ts';
import { callerLine, Narrator, seconds, table, timeToFirstSound } from './narrator.ts';
import { type ParrotEvent, startParrot } from './parrot.ts';
import { readWav, writeWav } from './wav.ts';

/** How far a reported cut may be off what was heard: the simulators keep time by timers. */
const CUT_TOLERANCE_MS = 50;
/** No call takes this long unless something hangs. */
const LONGEST_MS = 30_000;

function recording(name: string): Promise<Uint8Array> {
  return readFile(new URL(`../fixtures/${name}.wav`, import.meta.url)).then(readWav);
}

/** Asks something, talks over the answer, hears the next one out, and hangs up. */
async function converse(phone: PhoneCall, narrator: Narrator): Promise<void> {
  await phone.untilPlaying();
  await phone.untilSilentFor(300);
  narrator.tell('caller  asks something');
  await phone.say(await recording('question'));
  await phone.untilPlaying();
  await pause(1_200);
  narrator.tell('caller  talks over the reply');
  await phone.say(await recording('interruption'));
  await phone.untilPlaying();
  await phone.untilSilentFor(400);
  await phone.hangUp();
}

function parrotLine(event: ParrotEvent): string {
  switch (event.type) {
    case 'session-ready':
      return 'is ready';
    case 'speech-started':
      return 'hears speech';
    case 'speech-stopped':
      return `has heard ${seconds(event.turnMs)} of speech`;
    case 'reply-started':
      return 'begins to speak';
    case 'reply-done':
      return `has sent ${seconds(event.ms)} of speech`;
    case 'reply-cancelled':
      return 'stops in mid-speech';
    case 'reply-failed':
      return 'fails to reply';
    case 'truncated':
      return `learns that ${seconds(event.audioEndMs)} of it was heard`;
    case 'error':
      return `objects: ${event.message}`;
    case 'closed':
      return `has left (${event.code})`;
  }
}

/** What went wrong, judged by what both ends saw; a line each. */
function findFaults(caller: CallerEvent[], parrot: ParrotEvent[]): string[] {
  const faults: string[] = [];
  for (const event of caller) {
    if (event.type === 'warning') faults.push(`Twilio would warn: ${event.code} ${event.detail}`);
    if (event.type === 'closed' && event.by !== 'caller') faults.push('the server closed the stream');
  }
  for (const event of parrot) {
    if (event.type === 'error' || event.type === 'reply-failed')
      faults.push(`the parrot ${parrotLine(event)}`);
  }
  if (count(parrot, 'speech-stopped') !== 2) faults.push('the parrot did not hear two turns');
  if (count(caller, 'first-sound') !== 3) faults.push('the caller did not hear three times');
  const cuts = findCuts(caller, parrot);
  if (cuts.length !== 1) faults.push(`there were ${cuts.length} barge-ins, not 1`);
  for (const { reported, heard } of cuts) {
    if (Math.abs(reported - heard) <= CUT_TOLERANCE_MS) continue;
    faults.push(`the parrot learned that ${seconds(reported)} was heard, but it was ${seconds(heard)}`);
  }
  return faults;
}

/** Each barge-in: how much of the reply the caller had heard, as reported and in truth, in ms. */
function findCuts(caller: CallerEvent[], parrot: ParrotEvent[]): { reported: number; heard: number }[] {
  const cleared = caller.filter((event) => event.type === 'cleared');
  return parrot
    .filter((event) => event.type === 'truncated')
    .map(({ itemId, audioEndMs }, n) => {
      const reply = parrot.find((event) => event.type === 'reply-done' && event.itemId === itemId);
      const sent = reply?.type === 'reply-done' ? reply.ms : Number.NaN;
      return { reported: audioEndMs, heard: sent - (cleared[n]?.unheardMs ?? Number.NaN) };
    });
}

function count(events: { type: string }[], type: string): number {
  return events.filter((event) => event.type === type).length;
}

console.log(`The real server, called by a simulated phone that plays recorded speech, with a parrot in
OpenAI's place that says back what it hears. No accounts, no network.\n`);

const timer = setTimeout(() => {
  console.error(`The call hung: it should have been over in ${seconds(LONGEST_MS)}.`);
  process.exit(1);
}, LONGEST_MS);
// Signed as Twilio signs, so that the call goes through the guarded path.
const authToken = randomUUID();
const narrator = new Narrator();
const callerEvents: CallerEvent[] = [];
const parrotEvents: ParrotEvent[] = [];
const news = new EventEmitter();

const parrot = await startParrot({
  greeting: await recording('greeting'),
  onEvent(event, session) {
    // The first session, dialled ahead, is this call's; the next only waits for another call.
    if (session.number > 1) return;
    parrotEvents.push(event);
    narrator.tell(`parrot  ${parrotLine(event)}`);
    news.emit(event.type);
  },
});
const app = await buildApp(
  readConfig({
    OPENAI_API_KEY: 'sk-demo',
    OPENAI_REALTIME_URL: parrot.url,
    TWILIO_AUTH_TOKEN: authToken,
    LOG_LEVEL: 'warn',
  }),
);
const ready = once(news, 'session-ready');
const url = await app.listen({ port: 0, host: '127.0.0.1' });
await ready;

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
const { calls } = (await app.inject('/')).json();
await app.close();
await parrot.close();
clearTimeout(timer);

const wav = join(await mkdtemp(join(tmpdir(), 'voice-relay-')), 'heard.wav');
await writeFile(wav, writeWav(phone.heard));
const cuts = findCuts(callerEvents, parrotEvents);
const spokenMs = parrotEvents.reduce(
  (sum, event) => sum + (event.type === 'speech-stopped' ? event.turnMs : 0),
  0,
);
console.log(`
${table({
  'time to first sound': seconds(timeToFirstSound(callerEvents)),
  turns: String(count(parrotEvents, 'speech-stopped')),
  'barge-ins': `${cuts.length}${cuts.map(({ reported, heard }) => `, cut at ${seconds(reported)}; the caller had heard ${seconds(heard)}`)}`,
  'speech heard by the parrot': seconds(spokenMs),
  'speech heard by the caller': seconds(phone.heardMs),
  'what the caller heard': wav,
})}
`);

const faults = findFaults(callerEvents, parrotEvents);
if (calls !== 0) faults.push(`the server still counts ${calls} live calls`);
for (const fault of faults) console.error(`Something is wrong: ${fault}.`);
if (faults.length === 0) console.log('All went as it should.');
process.exitCode = faults.length === 0 ? 0 : 1;
