import { BYTES_PER_MS, SILENCE } from '../../src/wire/audio.ts';
import { Ear } from '../simulator/ear.ts';
import { encodeAudio, loudness } from '../simulator/mulaw.ts';
import { only } from '../simulator/narrator.ts';
import type { ParrotEvent } from '../simulator/parrot.ts';
import { logged, type Played, played } from './earpiece.ts';
import type { Said, Script } from './microphone.ts';
import type { Page } from './page.ts';

/** Something that was looked at, in words. */
export interface Finding {
  isRight: boolean;
  what: string;
}

/** What the filters on the way may add to a pause or take from it, in ms. */
const LENGTH_TOLERANCE_MS = 200;
/** How much louder or softer words may become on the way, by the browser's automatic gain above all. */
const LOUDNESS_TOLERANCE_DB = 6;
/** How far the cut may be off, in ms: everybody keeps time by timers. */
const CUT_TOLERANCE_MS = 60;
/** What the browser may hold back of what it is to play, in ms. */
const PLAYOUT_MS = 250;
/** More than an ear needs to take words as over, in bytes. */
const PAUSE = 8_000;
/** What is heard from the loudspeaker, of 1. */
const AUDIBLE = 0.01;
/** As much silence, of samples of exactly 0, lies between two things that the assistant says, in ms. */
const PAUSE_MS = 400;

/** What there is to say of a call of two turns and a barge-in, by its page, its loudspeaker, its recording and its parrot. */
export async function findingsOfCall(
  page: Page,
  events: ParrotEvent[],
  { question, interruption }: Script,
  wav: Buffer,
): Promise<Finding[]> {
  const [left = new Int16Array(), right = new Int16Array()] = channels(wav);
  const turns = only(events, 'speech-stopped').map(({ turnMs }) => turnMs);
  const said = wordsIn(left);
  const heard = wordsIn(right);
  return [
    finding(turns.length === 2, `the parrot heard ${turns.length} turns`),
    sameLength('the question that the parrot heard', turns[0], question),
    sameLength('the interruption that the parrot heard', turns[1], interruption),
    sameLoudness('the question, as it left', said[0], question),
    sameLoudness('the interruption, as it left', said[1], interruption),
    // What comes last is what the parrot made of what it heard.
    sameLength('its repetition by the parrot', msOf(heard.at(-1)), interruption),
    sameLoudness('its repetition by the parrot', heard.at(-1), interruption),
    ...(await findingsOfCut(page, events, right)),
    ...(await findingsOfLoudspeaker(page)),
  ];
}

/** Whether page, parrot and recording agree on where the assistant was cut. */
async function findingsOfCut(page: Page, events: ParrotEvent[], right: Int16Array): Promise<Finding[]> {
  const text = await page.text('turns');
  const { cut, reported } = /Cut after (?<cut>[\d.]+) s, (?<reported>[\d.]+) s by/.exec(text)?.groups ?? {};
  const cutMs = 1_000 * Number(cut);
  const { audioEndMs = Number.NaN } = only(events, 'truncated')[0] ?? {};
  // The greeting comes first, and then the answer that is talked over.
  const recordedMs = soundsIn(right)[1] ?? Number.NaN;
  const near = (ms: number) => Math.abs(ms - cutMs) <= CUT_TOLERANCE_MS;
  return [
    finding(Math.abs(Number(reported) * 1_000 - audioEndMs) <= 5, `the page says what the server reported`),
    finding(near(audioEndMs), `cut after ${cutMs} ms by the page, ${audioEndMs} by the server's report`),
    finding(near(recordedMs), `and ${recordedMs} in the recording`),
  ];
}

/** Whether what the page says that the caller hears comes out of the loudspeaker, and nothing else. */
async function findingsOfLoudspeaker(page: Page): Promise<Finding[]> {
  const all = await played(page);
  const [greeted = 0, asked = 0, answered = 0] = await logged(page, /hears the assistant *$/);
  const [cut = 0] = await logged(page, /hears the assistant stop/);
  const [, silent = 0] = await logged(page, /hears silence/);
  const share = (from: number, to: number) => audibleShare(all, from, to);
  const talk = [share(greeted, greeted + 1_000), share(asked, cut), share(answered, silent)];
  const percent = talk.map((part) => `${Math.round(100 * part)} %`).join(', ');
  const last = all.findLast(({ at, rms }) => at < answered && rms >= AUDIBLE)?.at ?? Number.NaN;
  const lateMs = Math.round(last - cut);
  return [
    finding(Math.min(...talk) > 0.5, `the loudspeaker is heard while the assistant is: ${percent}`),
    finding(lateMs <= PLAYOUT_MS, `and falls silent ${lateMs} ms after the cut`),
  ];
}

function audibleShare(all: Played[], from: number, to: number): number {
  const some = all.filter(({ at }) => at >= from && at < to);
  return some.filter(({ rms }) => rms >= AUDIBLE).length / some.length;
}

function finding(isRight: boolean, what: string): Finding {
  return { isRight, what };
}

function sameLength(what: string, ms: number | undefined, { audio }: Said): Finding {
  const expected = audio.length / BYTES_PER_MS;
  const isRight = Math.abs((ms ?? 0) - expected) <= LENGTH_TOLERANCE_MS;
  return finding(isRight, `${what} lasts ${ms} ms, of ${expected}`);
}

function sameLoudness(what: string, words: Uint8Array = new Uint8Array(), { audio }: Said): Finding {
  const db = 20 * Math.log10(loudness(words) / loudness(audio));
  return finding(Math.abs(db) <= LOUDNESS_TOLERANCE_DB, `${what} is ${db.toFixed(1)} dB louder`);
}

function msOf(words: Uint8Array = new Uint8Array()): number {
  return words.length / BYTES_PER_MS;
}

/** What an ear makes of 16-bit samples: the words, without the pauses around them. */
function wordsIn(samples: Int16Array): Uint8Array[] {
  const ear = new Ear();
  const heard = [...ear.hear(encodeAudio(samples)), ...ear.hear(new Uint8Array(PAUSE).fill(SILENCE))];
  return heard.flatMap((event) => (event.type === 'stopped' ? [event.words] : []));
}

/** How long each sound is, in ms, to the sample: from its first sample that isn't 0 to its last. */
function soundsIn(samples: Int16Array): number[] {
  const sounds: { from: number; to: number }[] = [];
  samples.forEach((sample, at) => {
    if (sample === 0) return;
    const last = sounds.at(-1);
    if (last !== undefined && at - last.to < PAUSE_MS * BYTES_PER_MS) last.to = at;
    else sounds.push({ from: at, to: at });
  });
  return sounds.map(({ from, to }) => (to - from) / BYTES_PER_MS);
}

/** The channels of a WAV of the page's. */
function channels(wav: Buffer): Int16Array[] {
  const count = wav.readUInt16LE(22);
  const samples = wav.subarray(44);
  return Array.from({ length: count }, (_, channel) =>
    Int16Array.from({ length: samples.length / 2 / count }, (_, i) =>
      samples.readInt16LE(2 * (i * count + channel)),
    ),
  );
}
