import { describe, expect, it } from 'vitest';
import { SILENCE } from '../../src/wire/audio.ts';
import { Ear, type Heard } from './ear.ts';
import { encodeMulaw } from './mulaw.ts';
import { recording } from './recording.ts';

const pause = (ms: number) => new Uint8Array(ms * 8).fill(SILENCE);
const noise = (ms: number, amplitude: number) =>
  Uint8Array.from({ length: ms * 8 }, (_, i) => encodeMulaw(amplitude * Math.sin(i * i)));

function hearAll(audio: Uint8Array, vad = {}, chunkBytes = 77): Heard[] {
  const ear = new Ear();
  ear.configure(vad);
  const heard: Heard[] = [];
  for (let at = 0; at < audio.length; at += chunkBytes) {
    heard.push(...ear.hear(audio.subarray(at, at + chunkBytes)));
  }
  return heard;
}

describe('Ear', () => {
  it('hears a question as one turn, in pieces of any length', () => {
    const said = recording('question');
    const audio = Buffer.concat([pause(1000), said, pause(1000)]);
    const [started, stopped, ...more] = hearAll(audio);
    if (started?.type !== 'started' || stopped?.type !== 'stopped') throw new Error('no turn');
    expect(more).toEqual([]);
    expect(Math.abs(started.audioStartMs - (1000 - 300))).toBeLessThanOrEqual(40);
    expect(Math.abs(stopped.audioEndMs - (1000 + said.length / 8 + 500))).toBeLessThanOrEqual(60);
    expect(Math.abs(stopped.words.length - said.length) / 8).toBeLessThanOrEqual(60);
    expect(hearAll(audio, {}, 5000)).toEqual([started, stopped]);
  });

  it('hears no turn in a little noise or in a click', () => {
    expect(hearAll(noise(5000, 300))).toEqual([]);
    expect(hearAll(Buffer.concat([pause(200), noise(40, 9000), pause(800)]))).toEqual([]);
  });

  it('goes by the threshold and the pause that it was given', () => {
    const soft = Buffer.concat([noise(400, 1200), pause(600)]);
    expect(hearAll(soft)).toHaveLength(2);
    expect(hearAll(soft, { threshold: 0.9 })).toEqual([]);

    const twice = Buffer.concat([noise(400, 6000), pause(600), noise(400, 6000), pause(900)]);
    expect(hearAll(twice)).toHaveLength(4);
    expect(hearAll(twice, { silence_duration_ms: 800 })).toHaveLength(2);
  });
});
