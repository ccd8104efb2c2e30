import type { Effect } from '../../src/conversation/effect.ts';

/** The history and the briefing, which is the system's; and what follows. */
export function begins(effects: Effect[]) {
  const items = effects.map((effect) => {
    const { role, content } = Object(effect).message?.item ?? {};
    return `${role}: ${content?.[0].text}`;
  });
  const length = items.findIndex((item) => item.startsWith('system: ')) + 1;
  return { told: items.slice(0, length), rest: effects.slice(length) };
}

/** The bytes of audio that are sent to OpenAI, each once for each 20 ms. */
export function framesOf(effects: unknown[]): number[] {
  return effects.flatMap((effect) => {
    const { type, audio = '' } = Object(effect).message;
    const bytes = type === 'input_audio_buffer.append' ? [...Buffer.from(audio, 'base64')] : [];
    return bytes.filter((_, index) => index % 160 === 0);
  });
}

/** The bytes of the caller's frames between two timestamps. */
export const frames = (from: number, to: number) =>
  Array.from({ length: (to - from) / 20 }, (_, n) => (from / 20 + n) % 256);
