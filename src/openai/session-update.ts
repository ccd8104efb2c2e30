import type { Persona } from '../contract.ts';
import { type ClientEvent, PHONE_AUDIO } from '../wire/openai.ts';

/** Configures a session for a telephone, with everything that would otherwise vary by model, and what else is set. */
export function sessionUpdate(persona: Persona): ClientEvent {
  const { instructions, greeting, voice, turnDetection, tools = [], transcription } = persona;
  const { noiseReduction, speed, maxOutputTokens, reasoningEffort, retentionRatio } = persona;
  const format = { type: PHONE_AUDIO };
  return {
    type: 'session.update',
    session: {
      type: 'realtime',
      output_modalities: ['audio'],
      // Instructions that come with a response would stand in place of the session's.
      instructions: greeting === '' ? instructions : `${instructions}\n\nHow you open the call: ${greeting}`,
      audio: {
        input: {
          format,
          turn_detection: { ...turnDetection, create_response: true, interrupt_response: true },
          ...(transcription && { transcription }),
          ...(noiseReduction && { noise_reduction: { type: noiseReduction } }),
        },
        output: { format, voice, ...(speed !== undefined && { speed }) },
      },
      tools: tools.map(({ name, description, parameters = NO_PARAMETERS }) => ({
        type: 'function',
        name,
        description,
        parameters,
      })),
      ...(maxOutputTokens !== undefined && { max_output_tokens: maxOutputTokens }),
      ...(reasoningEffort && { reasoning: { effort: reasoningEffort } }),
      ...(retentionRatio !== undefined && {
        truncation: { type: 'retention_ratio', retention_ratio: retentionRatio },
      }),
    },
  };
}

const NO_PARAMETERS = { type: 'object', properties: {} };

/** How long semantic_vad waits at most, in ms: https://platform.openai.com/docs/guides/realtime-vad#semantic-vad */
const MAX_SEMANTIC_MS = { low: 8_000, medium: 4_000, high: 2_000, auto: 4_000 };
/** What is added, so that the end of a turn isn't missed by a frame. */
const MARGIN_MS = 500;

/** How much silence ends a caller's turn at the latest, in ms. */
export function turnEndMs(turnDetection: Persona['turnDetection']): number {
  const { type } = turnDetection;
  const ms =
    type === 'server_vad' ? turnDetection.silence_duration_ms : MAX_SEMANTIC_MS[turnDetection.eagerness];
  return ms + MARGIN_MS;
}
