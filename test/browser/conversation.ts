import { BYTES_PER_MS, SILENCE } from '../../src/wire/audio.ts';
import { Ear } from '../simulator/ear.ts';
import { encodeAudio, loudness } from '../simulator/mulaw.ts';
import { only } from '../simulator/narrator.ts';
import type { ParrotEvent } from '../simulator/parrot.ts';
import { logged, type Played, played } from './earpiece.ts';
import { INTERRUPTION, QUESTION } from './microphone.ts';
import type { Page } from './page.ts';

/** Filters lengthen and shorten pauses by as much, in ms. */
const LENGTH_TOLERANCE_MS = 200;
/** Resampling and mu-law change the loudness by less. */
const LOUDNESS_TOLERANCE_DB = 3;
/** The imprecision of timers, in ms. */
const CUT_TOLERANCE_MS = 60;
/** The browser's playout buffer, in ms. */
const PLAYOUT_MS = 250;
/** A pause that ends a turn, in bytes. */
const PAUSE = 8_000;
/** The least audible level of the loudspeaker, of 1. */
const AUDIBLE = 0.01;
/** The least silence, of samples of exactly 0, between two replies, in ms. */
const PAUSE_MS = 400;

/** What was wrong so far. */
export const faults: string[] = [];

export function check(isRight: boolean, what: string): void {
  console.log(`${isRight ? '  ok ' : '  NOT'}  ${what}`);
  if (!isRight) faults.push(what);
}

/** Checks a call of two turns and a barge-in by its page, its recording and its parrot. */
export async function checkCall(page: Page, events: ParrotEvent[], wav: Buffer): Promise<void> {
  const [left = new Int16Array(), right = new Int16Array()] = channels(wav);
  const turns = only(events, 'speech-stopped').map(({ turnMs }) => turnMs);
  const said = wordsIn(left);
  const heard = wordsIn(right);
  check(turns.length === 2, `the parrot heard ${turns.length} turns`);
  checkLength('the question that the parrot heard', turns[0], QUESTION);
  checkLength('the interruption that the parrot heard', turns[1], INTERRUPTION);
  checkLoudness('the question, as it left', said[0], QUESTION);
  checkLoudness('the interruption, as it left', said[1], INTERRUPTION);
  // The parrot repeats last what it heard.
  checkLength('its repetition by the parrot', msOf(heard.at(-1)), INTERRUPTION);
  checkLoudness('its repetition by the parrot', heard.at(-1), INTERRUPTION);
  await checkCut(page, events, right);
}

/** Checks that page, parrot and recording agree on where the assistant was cut. */
async function checkCut(page: Page, events: ParrotEvent[], right: Int16Array): Promise<void> {
  const text = await page.text('turns');
  const { cut, reported } = /Cut after (?<cut>[\d.]+) s, (?<reported>[\d.]+) s by/.exec(text)?.groups ?? {};
  const cutMs = 1_000 * Number(cut);
  const { audioEndMs = Number.NaN } = only(events, 'truncated')[0] ?? {};
  // The greeting comes first, and then the answer that is interrupted.
  const recordedMs = soundsIn(right)[1] ?? Number.NaN;
  const near = (ms: number) => Math.abs(ms - cutMs) <= CUT_TOLERANCE_MS;
  check(Math.abs(Number(reported) * 1_000 - audioEndMs) <= 5, `the page says what the server reported`);
  check(near(audioEndMs), `cut after ${cutMs} ms by the page, ${audioEndMs} by the server's report`);
  check(near(recordedMs), `and ${recordedMs} in the recording`);
}

/** Checks that the loudspeaker plays the assistant when the log says so, and falls silent at the cut. */
export async function checkLoudspeaker(page: Page, least: number): Promise<void> {
  const all = await played(page);
  const [greeted = 0, asked = 0, answered = 0] = await logged(page, /hears the assistant *$/);
  const [cut = 0] = await logged(page, /hears the assistant stop/);
  const [, silent = 0] = await logged(page, /hears silence/);
  const share = (from: number, to: number) => audibleShare(all, from, to);
  const talk = [share(greeted, greeted + 1_000), share(asked, cut), share(answered, silent)];
  const percent = talk.map((part) => `${Math.round(100 * part)} %`).join(', ');
  const last = all.findLast(({ at, rms }) => at < answered && rms >= AUDIBLE)?.at ?? Number.NaN;
  const lateMs = Math.round(last - cut);
  check(Math.min(...talk) > least, `the loudspeaker is heard while the assistant is: ${percent}`);
  check(lateMs <= PLAYOUT_MS, `and falls silent ${lateMs} ms after the cut`);
}

function audibleShare(all: Played[], from: number, to: number): number {
  const some = all.filter(({ at }) => at >= from && at < to);
  return some.filter(({ rms }) => rms >= AUDIBLE).length / some.length;
}

function checkLength(what: string, ms: number | undefined, audio: Uint8Array): void {
  const expected = msOf(audio);
  check(Math.abs((ms ?? 0) - expected) <= LENGTH_TOLERANCE_MS, `${what} lasts ${ms} ms, of ${expected}`);
}

function checkLoudness(what: string, words: Uint8Array | undefined, audio: Uint8Array): void {
  const db = 20 * Math.log10(loudness(words ?? new Uint8Array()) / loudness(audio));
  check(Math.abs(db) <= LOUDNESS_TOLERANCE_DB, `${what} is ${db.toFixed(1)} dB louder`);
}

function msOf(words: Uint8Array = new Uint8Array()): number {
  return words.length / BYTES_PER_MS;
}

/** Returns the words in 16-bit samples, without the pauses around them. */
function wordsIn(samples: Int16Array): Uint8Array[] {
  const ear = new Ear();
  const heard = [...ear.hear(encodeAudio(samples)), ...ear.hear(new Uint8Array(PAUSE).fill(SILENCE))];
  return heard.flatMap((event) => (event.type === 'stopped' ? [event.words] : []));
}

/** Returns the length of each sound in ms, from its first sample that isn't 0 to its last. */
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

function channels(wav: Buffer): Int16Array[] {
  const samples = wav.subarray(44);
  const sample = (at: number, channel: number) => samples.readInt16LE(4 * at + 2 * channel);
  return [0, 1].map((channel) =>
    Int16Array.from({ length: samples.length / 4 }, (_, at) => sample(at, channel)),
  );
}
