import { isObject } from '../../src/wire/json.ts';
import type { Page } from './page.ts';

/**
 * A script for the page that measures the loudspeaker's audio, and records the microphones that were requested, the
 * words that were spoken, and the times of the log's lines.
 */
export const EARPIECE = `
  window.played = [];
  window.logged = [];
  window.asked = [];
  window.microphones = [];
  window.spoken = [];
  const getUserMedia = MediaDevices.prototype.getUserMedia;
  MediaDevices.prototype.getUserMedia = async function (constraints) {
    window.asked.push(constraints.audio.echoCancellation);
    const microphone = await getUserMedia.call(this, constraints);
    window.microphones.push(...microphone.getTracks());
    return microphone;
  };
  SpeechSynthesis.prototype.speak = ({ text }) => window.spoken.push(text);
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode) {
      const analyser = new AnalyserNode(this.context, { fftSize: 1024 });
      connect.call(this, analyser);
      const samples = new Float32Array(analyser.fftSize);
      setInterval(() => {
        analyser.getFloatTimeDomainData(samples);
        const rms = Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
        window.played.push({ at: performance.now(), rms });
      }, 10);
    }
    return connect.call(this, target, ...rest);
  };
  new MutationObserver((changes) => {
    for (const { target, addedNodes } of changes) {
      if (target.id !== 'log') continue;
      for (const { textContent } of addedNodes) window.logged.push({ at: performance.now(), text: textContent });
    }
  }).observe(document, { childList: true, subtree: true });
`;

/** The loudspeaker's level, from 0 to 1, at a time in ms of the page's clock. */
export interface Played {
  at: number;
  rms: number;
}

export async function played(page: Page): Promise<Played[]> {
  const all = await page.evaluate('window.played');
  return Array.isArray(all) ? all.map(({ at, rms }) => ({ at: Number(at), rms: Number(rms) })) : [];
}

/** Resolves with the times of the log's lines that match. */
export async function logged(page: Page, matches: RegExp): Promise<number[]> {
  const all = await page.evaluate('window.logged');
  if (!Array.isArray(all)) return [];
  return all.filter((line) => isObject(line) && matches.test(String(line.text))).map(({ at }) => Number(at));
}
