import { describe, expect, it } from 'vitest';
import { assistant } from '../src/assistant.ts';
import { sessionUpdate } from '../src/session-update.ts';

describe('the session', () => {
  it('has no rate for mu-law and no temperature, and interrupts and answers by itself', () => {
    const update = JSON.stringify(sessionUpdate(assistant));
    expect(update).not.toMatch(/"rate"|"temperature"/);
    expect(update).toContain('"create_response":true,"interrupt_response":true');
  });

  it('takes semantic turn detection as it stands', () => {
    const update = sessionUpdate({ ...assistant, turnDetection: { type: 'semantic_vad', eagerness: 'low' } });
    expect(update).toMatchObject({
      session: { audio: { input: { turn_detection: { type: 'semantic_vad', eagerness: 'low' } } } },
    });
  });
});
