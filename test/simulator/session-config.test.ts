import { describe, expect, it } from 'vitest';
import { sessionUpdate } from '../../src/openai/session-update.ts';
import { assistant } from './assistant.ts';
import { readItem } from './client-event.ts';
import { defaultSession, updateSession } from './session-config.ts';

const current = defaultSession('gpt-realtime-2.1');
const pcmu = { type: 'audio/pcmu' };
const input = (fields: object) => ({ type: 'realtime', audio: { input: fields } });
const output = (fields: object) => ({ type: 'realtime', audio: { output: fields } });
const semantic = input({ turn_detection: { type: 'semantic_vad', threshold: 0.5 } });
const tool = { type: 'function', name: 'x', description: 'X', parameters: { type: 'object' } };

describe('a session.update', () => {
  it('is accepted as we send it, and applied to all that it names', () => {
    const { session } = JSON.parse(JSON.stringify(sessionUpdate(assistant)));
    const { input, output } = current.audio;
    const turn_detection = { ...input.turn_detection, ...assistant.turnDetection };
    expect(updateSession(current, session, false)).toEqual({
      ...{ ...current, output_modalities: ['audio'], instructions: session.instructions },
      audio: {
        input: { ...input, format: pcmu, turn_detection },
        output: { ...output, format: pcmu, voice: assistant.voice },
      },
    });
  });

  it('may have every field that we send', () => {
    const token_limits = { post_instructions: 1000 };
    const session = {
      ...{ type: 'realtime', tools: [tool], tool_choice: 'auto', max_output_tokens: 'inf' },
      truncation: { type: 'retention_ratio', retention_ratio: 0.8, token_limits },
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

  it('keeps its voice once that was heard', () => {
    const named = updateSession(current, output({ voice: { id: 'voice_1' } }), false);
    if ('error' in named) throw new Error(named.error.message);
    expect(updateSession(named, output({ voice: { id: 'voice_1' } }), true)).not.toHaveProperty('error');
    const error = { code: 'cannot_update_voice' };
    expect(updateSession(named, output({ voice: 'cedar' }), true)).toMatchObject({ error });
  });

  it.each([
    [{ instructions: 'Hi' }, 'missing_required_parameter', 'session.type'],
    [{ type: 'realtime', temperature: 0.8 }, 'unknown_parameter', 'session.temperature'],
    [{ type: 'realtime', constructor: {} }, 'unknown_parameter', 'session.constructor'],
    [{ type: 'realtime', output_modalities: ['text'] }, 'invalid_value', 'session.output_modalities'],
    [{ type: 'realtime', tools: [{ ...tool, strict: true }] }, 'invalid_value', 'session.tools'],
    [input({ format: { ...pcmu, rate: 8000 } }), 'unknown_parameter', 'session.audio.input.format.rate'],
    [semantic, 'unknown_parameter', 'session.audio.input.turn_detection.threshold'],
    [output({ format: { type: 'g711_ulaw' } }), 'invalid_value', 'session.audio.output.format.type'],
    [output({ voice: 'bob' }), 'invalid_value', 'session.audio.output.voice'],
    ['nonsense', 'invalid_value', 'session'],
  ])('is refused with %j', (session, code, param) => {
    const message = expect.stringMatching(/^This parrot takes only .+ (?:as|in) 'session/);
    expect(updateSession(current, session, false)).toMatchObject({ error: { code, param, message } });
  });
});

describe('an item', () => {
  const part = { type: 'input_text', text: 'Hi' };
  const message = { type: 'message', role: 'user', content: [part] };
  const output = { type: 'function_call_output', call_id: 'call_1', output: '12:00' };
  it.each([
    ['unknown_parameter', 'item.status', { ...message, status: 'completed' }],
    ['unknown_parameter', 'item.content[0].audio', { ...message, content: [{ ...part, audio: '' }] }],
    ['missing_required_parameter', 'item.role', { ...message, role: undefined }],
    ['invalid_value', 'item.output', { ...output, output: { time: '12:00' } }],
    ['invalid_value', 'item.role', { ...message, role: 'tool' }],
    ['invalid_value', 'item.content[0].type', { ...message, role: 'assistant' }],
    ['invalid_value', 'item.content', { ...message, content: [part, part] }],
  ])('is refused with %s of %s', (code, param, item) => {
    const event = JSON.parse(JSON.stringify({ type: 'conversation.item.create', item }));
    expect(readItem(event)).toMatchObject({ error: { code, param } });
  });
});
