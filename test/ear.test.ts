import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { SILENCE } from '../src/wire/audio.ts';
import { Ear, type Heard } from './simulator/ear.ts';
import { encodeMulaw } from './simulator/mulaw.ts';
import { readWav } from './simulator/wav.ts';

const vad = { threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 500 };
const pause = (ms: number) => new Uint8Array(ms * 8).fill(SILENCE);
const noise = (ms: number, amplitude: number) =>
  Uint8Array.from({ length: ms * 8 }, (_, i) => encodeMulaw(amplitude * Math.sin(i * i)));
const speech = (name: string) => readWav(readFileSync(new URL(`fixtures/${name}.wav`, import.meta.url)));

function hearAll(ear: Ear, audio: Uint8Array, chunkBytes = 160): Heard[] {
  const heard: Heard[] = [];
  for (let at = 0; at < audio.length; at += chunkBytes) {
    heard.push(...ear.hear(audio.subarray(at, at + chunkBytes)));
  }
  return heard;
}

describe('an ear', () => {
  it.each(['question', 'interruption'])('hears the %s as one turn, without the pauses around it', (name) => {
    const said = speech(name);
    const heard = hearAll(new Ear(vad), Buffer.concat([pause(1000), said, pause(1000)]));
    expect(heard.map(({ type }) => type)).toEqual(['started', 'stopped']);
    const [started, stopped] = heard;
    if (started?.type !== 'started' || stopped?.type !== 'stopped') throw new Error('unreachable');
    expect(Math.abs(started.audioStartMs - (1000 - 300))).toBeLessThanOrEqual(40);
    expect(Math.abs(stopped.audioEndMs - (1000 + said.length / 8 + 500))).toBeLessThanOrEqual(60);
    expect(Math.abs(stopped.words.length - said.length) / 8).toBeLessThanOrEqual(60);
    expect(Buffer.from(said).includes(Buffer.from(stopped.words.subarray(160, -160)))).toBe(true);
  });

  it('hears the same turn however the audio was cut up', () => {
    const audio = Buffer.concat([pause(300), speech('question'), pause(600)]);
    expect(hearAll(new Ear(vad), audio, 77)).toEqual(hearAll(new Ear(vad), audio, 5000));
  });

  it('hears no turn in silence with a little noise', () => {
    expect(hearAll(new Ear(vad), noise(5000, 300))).toEqual([]);
  });

  it('takes a click for no turn', () => {
    expect(hearAll(new Ear(vad), Buffer.concat([pause(200), noise(40, 9000), pause(800)]))).toEqual([]);
  });

  it('goes by the threshold', () => {
    const audio = Buffer.concat([noise(400, 1200), pause(600)]);
    expect(hearAll(new Ear(vad), audio)).toHaveLength(2);
    expect(hearAll(new Ear({ ...vad, threshold: 0.9 }), audio)).toEqual([]);
  });

  it('waits as long a pause as it was told', () => {
    const audio = Buffer.concat([noise(400, 6000), pause(600), noise(400, 6000), pause(900)]);
    expect(hearAll(new Ear(vad), audio)).toHaveLength(4);
    expect(hearAll(new Ear({ ...vad, silence_duration_ms: 800 }), audio)).toHaveLength(2);
  });

  it('holds everything until it is taken, if it is not to find turns itself', () => {
    const ear = new Ear(undefined);
    const audio = noise(333, 6000);
    expect(hearAll(ear, audio, 100)).toEqual([]);
    expect(Buffer.from(ear.take())).toEqual(Buffer.from(audio));
    expect(ear.take()).toHaveLength(0);
  });
});
