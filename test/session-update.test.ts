import { describe, expect, it } from 'vitest';
import { sessionUpdate, turnEndMs } from '../src/session-update.ts';
import { assistant } from './simulator/assistant.ts';

const semantic = (eagerness: 'low' | 'medium' | 'high' | 'auto') =>
  ({ type: 'semantic_vad', eagerness }) as const;

describe('the session', () => {
  it('The session has no rate for mu-law and no temperature, and interrupts and answers by itself', () => {
    const update = JSON.stringify(sessionUpdate(assistant));
    expect(update).not.toMatch(/"rate"|"temperature"/);
    expect(update).toContain('"create_response":true,"interrupt_response":true');
  });

  it('The greeting is one of the instructions, so that it is spoken by the same assistant', () => {
    expect(sessionUpdate(assistant)).toMatchObject({
      session: { instructions: `${assistant.instructions}\n\nHow you open the call: ${assistant.greeting}` },
    });
  });

  it('The instructions stand alone where there is no greeting', () => {
    expect(sessionUpdate({ ...assistant, greeting: '' })).toMatchObject({
      session: { instructions: assistant.instructions },
    });
  });

  it('Semantic turn detection is asked for as it stands', () => {
    expect(sessionUpdate({ ...assistant, turnDetection: semantic('low') })).toMatchObject({
      session: { audio: { input: { turn_detection: { type: 'semantic_vad', eagerness: 'low' } } } },
    });
  });
});

describe('the silence that ends a turn', () => {
  it.each([
    [assistant.turnDetection, 1_000],
    [
      {
        ...assistant.turnDetection,
        type: 'server_vad',
        threshold: 0.5,
        prefix_padding_ms: 0,
        silence_duration_ms: 1_500,
      },
      2_000,
    ],
    [semantic('low'), 8_500],
    [semantic('auto'), 4_500],
    [semantic('high'), 2_500],
  ] as const)('For %j, %d ms of silence end a turn', (turnDetection, ms) => {
    expect(turnEndMs(turnDetection)).toBe(ms);
  });
});
