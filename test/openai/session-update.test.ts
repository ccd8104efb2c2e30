import { describe, expect, it } from 'vitest';
import type { Persona } from '../../src/contract.ts';
import { sessionUpdate, turnEndMs } from '../../src/openai/session-update.ts';
import { assistant } from '../simulator/assistant.ts';

const semantic = (eagerness: 'low' | 'medium' | 'high' | 'auto') =>
  ({ type: 'semantic_vad', eagerness }) as const;

describe('session.update', () => {
  it('has no rate and no temperature, and interrupts and answers by itself', () => {
    const update = JSON.stringify(sessionUpdate(assistant));
    expect(update).not.toMatch(/"rate"|"temperature"/);
    expect(update).toContain('"create_response":true,"interrupt_response":true');
  });

  it('has the greeting among its instructions', () => {
    expect(sessionUpdate(assistant)).toMatchObject({
      session: { instructions: `${assistant.instructions}\n\nHow you open the call: ${assistant.greeting}` },
    });
  });

  it('has the instructions alone if there is no greeting', () => {
    expect(sessionUpdate({ ...assistant, greeting: '' })).toMatchObject({
      session: { instructions: assistant.instructions },
    });
  });

  it('passes semantic turn detection on', () => {
    expect(sessionUpdate({ ...assistant, turnDetection: semantic('low') })).toMatchObject({
      session: { audio: { input: { turn_detection: { type: 'semantic_vad', eagerness: 'low' } } } },
    });
  });
});

describe('The silence that ends a turn', () => {
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
  ] as const)('for %j is %d ms', (turnDetection, ms) => {
    expect(turnEndMs(turnDetection)).toBe(ms);
  });
});

describe('The options of a session', () => {
  /** The session.update of an assistant with these options. */
  const sent = (options: Partial<Persona>) => sessionUpdate({ ...assistant, ...options });

  it('leave out what is not set', () => {
    expect(JSON.stringify(sent({}))).not.toMatch(
      /transcription|noise_reduction|speed|max_output_tokens|reasoning|truncation|idle_timeout_ms|undefined|null/,
    );
  });

  it.each<[Partial<Persona>, object]>([
    [
      { transcription: { model: 'gpt-transcribe', language: 'no' } },
      { audio: { input: { transcription: { model: 'gpt-transcribe', language: 'no' } } } },
    ],
    [{ noiseReduction: 'far_field' }, { audio: { input: { noise_reduction: { type: 'far_field' } } } }],
    [{ speed: 0.25 }, { audio: { output: { speed: 0.25 } } }],
    [{ maxOutputTokens: 4_096 }, { max_output_tokens: 4_096 }],
    [{ reasoningEffort: 'low' }, { reasoning: { effort: 'low' } }],
    [{ retentionRatio: 0 }, { truncation: { type: 'retention_ratio', retention_ratio: 0 } }],
    [{ voice: { id: 'voice_1' } }, { audio: { output: { voice: { id: 'voice_1' } } } }],
    [
      {
        turnDetection: {
          type: 'server_vad',
          threshold: 0.5,
          prefix_padding_ms: 300,
          silence_duration_ms: 500,
          idle_timeout_ms: 6_000,
        },
      },
      { audio: { input: { turn_detection: { type: 'server_vad', idle_timeout_ms: 6_000 } } } },
    ],
  ])('include %j', (options, session) => {
    expect(sent(options)).toMatchObject({ session });
  });

  it('include each tool with its schema, or one without arguments', () => {
    const run = () => undefined;
    const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
    const tools = [
      { name: 'weather', description: 'Looks it up.', parameters, timeoutMs: 5, run },
      { name: 'bye', description: 'Ends it.', run },
    ];
    expect(sent({ tools })).toMatchObject({
      session: {
        tools: [
          { type: 'function', name: 'weather', description: 'Looks it up.', parameters },
          {
            type: 'function',
            name: 'bye',
            description: 'Ends it.',
            parameters: { type: 'object', properties: {} },
          },
        ],
      },
    });
    expect(JSON.stringify(sent({ tools }))).not.toMatch(/timeoutMs|run/);
  });
});
