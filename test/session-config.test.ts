import { describe, expect, it } from 'vitest';
import { assistant } from '../src/assistant.ts';
import { sessionUpdate } from '../src/session-update.ts';
import { checkResponse, defaultSession, newId, updateSession } from './simulator/session-config.ts';

const current = defaultSession('gpt-realtime-2.1');
const pcmu = { type: 'audio/pcmu' };
const problem = (session: unknown, hasSpoken = false) => {
  const updated = updateSession(current, session, hasSpoken);
  return 'error' in updated ? updated.error : undefined;
};

describe('a session.update', () => {
  it('is accepted as we send it, and applied to all it names', () => {
    const { session } = JSON.parse(JSON.stringify(sessionUpdate(assistant)));
    expect(updateSession(current, session, false)).toEqual({
      ...current,
      instructions: assistant.instructions,
      audio: {
        input: {
          ...current.audio.input,
          format: pcmu,
          turn_detection: { ...current.audio.input.turn_detection, ...assistant.turnDetection },
        },
        output: { ...current.audio.output, format: pcmu, voice: assistant.voice },
      },
    });
  });

  it('takes nothing over from a turn detection of another type', () => {
    const turn_detection = { type: 'semantic_vad', eagerness: 'low' };
    const updated = updateSession(current, { type: 'realtime', audio: { input: { turn_detection } } }, false);
    expect(updated).toMatchObject({ audio: { input: { turn_detection } } });
    expect(JSON.stringify(updated)).not.toContain('threshold');
  });

  it.each([
    [{ instructions: 'Hi' }, 'missing_required_parameter', 'session.type'],
    [{ type: 'realtime', temperature: 0.8 }, 'unknown_parameter', 'session.temperature'],
    [{ type: 'realtime', modalities: ['audio'] }, 'unknown_parameter', 'session.modalities'],
    [{ type: 'realtime', voice: 'marin' }, 'unknown_parameter', 'session.voice'],
    [{ type: 'realtime', turn_detection: null }, 'unknown_parameter', 'session.turn_detection'],
    [{ type: 'realtime', constructor: {} }, 'unknown_parameter', 'session.constructor'],
    [
      { type: 'realtime', audio: { input: { format: { ...pcmu, rate: 8000 } } } },
      'unknown_parameter',
      'session.audio.input.format.rate',
    ],
    [
      { type: 'realtime', audio: { input: { turn_detection: { type: 'semantic_vad', threshold: 0.5 } } } },
      'unknown_parameter',
      'session.audio.input.turn_detection.threshold',
    ],
    [
      { type: 'realtime', audio: { output: { format: { type: 'g711_ulaw' } } } },
      'invalid_value',
      'session.audio.output.format.type',
    ],
    [
      { type: 'realtime', output_modalities: ['text', 'audio'] },
      'invalid_value',
      'session.output_modalities',
    ],
    [
      { type: 'realtime', audio: { output: { voice: 'bob' } } },
      'invalid_value',
      'session.audio.output.voice',
    ],
    ['nonsense', 'invalid_value', 'session'],
  ])('of %j is refused', (session, code, param) => {
    expect(problem(session)).toMatchObject({ code, param });
  });

  it('may not change the voice once it was heard, but may name it again', () => {
    const speaking = (voice: string) => ({ type: 'realtime', audio: { output: { voice } } });
    expect(problem(speaking('cedar'), true)).toMatchObject({ code: 'cannot_update_voice' });
    expect(problem(speaking('cedar'))).toBeUndefined();
    expect(problem(speaking('marin'), true)).toBeUndefined();
  });
});

describe('the sessions and ids', () => {
  it('begin with the pauses and voice of their model', () => {
    expect(defaultSession('gpt-realtime').audio).toMatchObject({
      input: { turn_detection: { silence_duration_ms: 200 } },
      output: { voice: 'alloy' },
    });
    expect(current.audio).toMatchObject({
      input: { format: { type: 'audio/pcm', rate: 24_000 }, turn_detection: { silence_duration_ms: 500 } },
      output: { voice: 'marin' },
    });
  });

  it('look like the real ones', () => {
    expect(newId('item')).toMatch(/^item_[A-Za-z0-9]{21}$/);
  });
});

describe("a response.create's response", () => {
  it('may give instructions and metadata, but nothing made up', () => {
    expect(checkResponse({ instructions: 'Greet.', metadata: { a: '1' } }, 'response')).toBeUndefined();
    expect(checkResponse({ temperature: 1 }, 'response')).toMatchObject({ param: 'response.temperature' });
  });
});
