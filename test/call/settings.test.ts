import { describe, expect, it } from 'vitest';
import { assistant as shipped } from '../../src/assistant.ts';
import { mistakesOf } from '../../src/call/settings.ts';
import type { Persona, Tool } from '../../src/contract.ts';
import { assistant, VAD } from '../simulator/assistant.ts';

const tool = (changes: object): object => ({ name: 'book', description: 'Books.', run() {}, ...changes });
const withTool = (changes: object) => mistakesOf({ ...assistant, tools: [tool(changes)] });

describe('The settings of an assistant', () => {
  it('are right as they are shipped', () => {
    expect(mistakesOf(shipped)).toEqual([]);
  });

  it('may have every option', () => {
    const tools: Tool[] = [
      { name: 'a-B_1', description: '', timeoutMs: 1, parameters: { type: 'object' }, run() {} },
    ];
    const texts = {
      transcription: { model: 'm', language: 'de' },
      twiml: '<Start><Recording/></Start>',
      about: '',
    };
    const options = {
      noiseReduction: 'far_field',
      speed: 1.5,
      maxOutputTokens: 1,
      reasoningEffort: 'low',
      retentionRatio: 0,
    };
    const voice = { id: 'voice_1' };
    const hooks = { answer() {}, ended() {} };
    const turnDetection = { type: 'semantic_vad', eagerness: 'auto' };
    expect(mistakesOf({ ...assistant, tools, ...texts, ...options, voice, ...hooks, turnDetection })).toEqual(
      [],
    );
    expect(mistakesOf({ ...assistant, turnDetection: { ...VAD, idle_timeout_ms: 6_000 } })).toEqual([]);
  });

  it('may be undefined if they are optional', () => {
    const unset: Persona = {
      ...assistant,
      tools: undefined,
      twiml: undefined,
      speed: undefined,
      say: undefined,
    };
    expect(mistakesOf(unset)).toEqual([]);
  });

  it('have five unknown ones named at most, and none that has no name', () => {
    const customers = Object.fromEntries(
      Array.from({ length: 5_000 }, (_, n) => [`+1415555${1_000 + n}`, {}]),
    );
    expect(mistakesOf({ ...assistant, ...customers })).toEqual(['5000 others are no settings']);
    const typos = mistakesOf({ ...assistant, a: 1, b: 1, c: 1, d: 1, e: 1, f: 1 });
    expect(typos).toHaveLength(6);
    expect(typos.at(-1)).toBe('1 others are no settings');
  });

  it('have all their mistakes named at once', () => {
    const { greeting: _, ...rest } = assistant;
    expect(
      mistakesOf({ ...rest, instruction: 'x', voice: 'sam', tools: [tool({ name: 'a b' }), tool({})] }),
    ).toEqual([
      'voice: must be one of alloy, ash, ballad, cedar, coral, echo, marin, sage, shimmer, verse',
      'greeting: must be a string',
      'tools: a b: name: must be 1 to 64 of A-Z, a-z, 0-9, _ and -',
      'instruction: there is no such setting',
    ]);
  });

  it.each<[object, string]>([
    [{ voice: { id: 7 } }, 'voice: id: must be a string, and not empty'],
    [{ voice: { id: '' } }, 'voice: id: must be a string, and not empty'],
    [{ transcription: { model: '' } }, 'transcription: model: must be a string, and not empty'],
    [{ maxOutputTokens: 100.5 }, 'maxOutputTokens: must be a whole number from 1 to 4096'],
    [
      { turnDetection: { ...VAD, silence_duration_ms: 500.5 } },
      'turnDetection: silence_duration_ms: must be a whole number from 0 to 60000',
    ],
    [{ tools: [tool({ name: 5 })] }, 'tools: 5: name: must be 1 to 64 of A-Z, a-z, 0-9, _ and -'],
    [
      { turnDetection: { ...VAD, type: 'vad' } },
      'turnDetection: type: must be one of server_vad, semantic_vad',
    ],
    [{ turnDetection: { ...VAD, threshold: 7 } }, 'turnDetection: threshold: must be from 0 to 1'],
    [{ turnDetection: { ...VAD, eagerness: 'low' } }, 'turnDetection: eagerness: there is no such setting'],
    [{ turnDetection: null }, 'turnDetection: must be an object'],
    [{ speed: Number.NaN }, 'speed: must be from 0.25 to 1.5'],
    [{ tools: {} }, 'tools: must be a list'],
    [{ tools: [null] }, 'tools: undefined: must be an object'],
    [{ tools: [tool({}), tool({})] }, 'tools: book: is there twice'],
    [{ tools: [tool({ run: 7 })] }, 'tools: book: run: must be a function'],
    [{ tools: [tool({ execute() {} })] }, 'tools: book: execute: there is no such setting'],
    [{ twiml: '<Response><Pause/></Response>' }, 'twiml: takes verbs only, without <?xml…?> and <Response>'],
    [
      { twiml: '\n<?xml version="1.0"?><Pause/>' },
      'twiml: takes verbs only, without <?xml…?> and <Response>',
    ],
    [{ twiml: 'This call is recorded.' }, 'twiml: takes verbs: make one of a text with say()'],
    [{ twiml: '<Say>A & B</Say>' }, 'twiml: must be well-formed: close each element, and write & as &amp;'],
    [{ ended: {} }, 'ended: must be a function'],
    [{ constructor: 7 }, 'constructor: there is no such setting'],
  ])('are refused as %j', (changes, mistake) => {
    expect(mistakesOf({ ...assistant, ...changes })).toEqual([mistake]);
  });
});

describe('The parameters of a tool', () => {
  // As zod's `toJSONSchema`, @valibot/to-json-schema, typebox and arktype write them.
  it.each([
    {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      properties: {},
      additionalProperties: false,
    },
    { type: 'object', properties: { a: { anyOf: [{ const: 'x' }, { const: 1 }] } }, required: ['a'] },
    {
      [Symbol('Kind')]: 'Object',
      type: 'object',
      properties: { a: { [Symbol('Kind')]: 'String', type: 'string' } },
    },
    Object.defineProperty({ type: 'object' }, '~standard', { value: { validate() {} } }),
  ])('may be %j', (parameters) => {
    expect(withTool({ parameters })).toEqual([]);
  });

  class ZodObject {
    type = 'object';
  }
  const cycle: Record<string, unknown> = { type: 'object' };
  cycle.self = cycle;
  it.each<[string, unknown]>([
    ["zod's", new ZodObject()],
    ["valibot's", { kind: 'schema', type: 'object', entries: {}, '~run'() {} }],
    ["arktype's", Object.assign(() => {}, { type: 'object' })],
    ['a cycle', cycle],
  ])('are refused as a schema object: %s', (_, parameters) => {
    expect(withTool({ parameters })).toEqual([
      'tools: book: parameters: must be JSON: convert the schema with z.toJSONSchema(it), toJsonSchema(it) or it.toJsonSchema()',
    ]);
  });

  it('must be of type object', () => {
    expect(withTool({ parameters: { properties: {} } })).toEqual([
      'tools: book: parameters: type: must be one of object',
    ]);
  });
});
