import { describe, expect, it } from 'vitest';
import { sessionUpdate } from '../../src/openai/session-update.ts';
import { assistant } from './assistant.ts';
import { defaultSession, updateSession } from './session-config.ts';

const current = defaultSession('gpt-realtime-2.1');
const pcmu = { type: 'audio/pcmu' };
const input = (fields: object) => ({ type: 'realtime', audio: { input: fields } });
const output = (fields: object) => ({ type: 'realtime', audio: { output: fields } });
const tool = { type: 'function', name: 'x', description: 'X', parameters: { type: 'object' } };

describe('a session.update', () => {
  it('An update is accepted as we send it, and applied to all it names', () => {
    const { session } = JSON.parse(JSON.stringify(sessionUpdate(assistant)));
    expect(updateSession(current, session, false)).toEqual({
      ...current,
      output_modalities: ['audio'],
      instructions: session.instructions,
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

  it('An update with every field that we may send is accepted', () => {
    const session = {
      type: 'realtime',
      tools: [tool],
      tool_choice: 'auto',
      max_output_tokens: 'inf',
      truncation: {
        type: 'retention_ratio',
        retention_ratio: 0.8,
        token_limits: { post_instructions: 1000 },
      },
      reasoning: { effort: 'low' },
      audio: {
        input: {
          noise_reduction: { type: 'far_field' },
          transcription: { model: 'gpt-realtime-whisper', language: 'en' },
          turn_detection: { type: 'server_vad', idle_timeout_ms: 6000 },
        },
        output: { voice: { id: 'voice_1' }, speed: 1.1 },
      },
    };
    expect(updateSession(current, session, false)).toMatchObject(session);
  });

  it.each([
    [{ instructions: 'Hi' }, 'missing_required_parameter', 'session.type'],
    [{ type: 'realtime', temperature: 0.8 }, 'unknown_parameter', 'session.temperature'],
    [{ type: 'realtime', turn_detection: null }, 'unknown_parameter', 'session.turn_detection'],
    [{ type: 'realtime', constructor: {} }, 'unknown_parameter', 'session.constructor'],
    [
      { type: 'realtime', output_modalities: ['text', 'audio'] },
      'invalid_value',
      'session.output_modalities',
    ],
    [{ type: 'realtime', tools: [{ ...tool, strict: true }] }, 'invalid_value', 'session.tools'],
    [input({ format: { ...pcmu, rate: 8000 } }), 'unknown_parameter', 'session.audio.input.format.rate'],
    [
      input({ turn_detection: { type: 'semantic_vad', threshold: 0.5 } }),
      'unknown_parameter',
      'session.audio.input.turn_detection.threshold',
    ],
    [output({ format: { type: 'g711_ulaw' } }), 'invalid_value', 'session.audio.output.format.type'],
    [output({ voice: 'bob' }), 'invalid_value', 'session.audio.output.voice'],
    ['nonsense', 'invalid_value', 'session'],
  ])('An update of %j is refused', (session, code, param) => {
    expect(updateSession(current, session, false)).toMatchObject({ error: { code, param } });
  });
});
