import type { Persona } from '../contract.ts';
import { type ClientEvent, PHONE_AUDIO } from '../wire/openai.ts';

/** Returns the event that configures a session for a telephone. JSON leaves out the options that are undefined. */
export function sessionUpdate(persona: Persona): ClientEvent {
  const { instructions, greeting, voice, turnDetection, tools = [], transcription } = persona;
  const { noiseReduction, speed, maxOutputTokens, reasoningEffort, retentionRatio } = persona;
  const format = { type: PHONE_AUDIO };
  return {
    type: 'session.update',
    session: {
      type: 'realtime',
      output_modalities: ['audio'],
      // A response's own instructions would replace these.
      instructions: greeting === '' ? instructions : `${instructions}\n\nHow you open the call: ${greeting}`,
      audio: {
        input: {
          format,
          turn_detection: { ...turnDetection, create_response: true, interrupt_response: true },
          transcription,
          noise_reduction: noiseReduction && { type: noiseReduction },
        },
        output: { format, voice, speed },
      },
      tools: tools.map(({ name, description, parameters = NO_PARAMETERS }) => ({
        type: 'function',
        name,
        description,
        parameters,
      })),
      max_output_tokens: maxOutputTokens,
      reasoning: reasoningEffort && { effort: reasoningEffort },
      truncation:
        retentionRatio === undefined
          ? undefined
          : { type: 'retention_ratio', retention_ratio: retentionRatio },
    },
  };
}

const NO_PARAMETERS = { type: 'object', properties: {} };

/** The longest pauses of semantic_vad, in ms: https://platform.openai.com/docs/guides/realtime-vad#semantic-vad */
const MAX_SEMANTIC_MS = { low: 8_000, medium: 4_000, high: 2_000, auto: 4_000 };
/** Margin, in ms, so that a turn doesn't seem to end a frame too early. */
const MARGIN_MS = 500;

/** Returns the silence that ends a caller's turn at the latest, in ms. */
export function turnEndMs(turnDetection: Persona['turnDetection']): number {
  const { type } = turnDetection;
  const ms =
    type === 'server_vad' ? turnDetection.silence_duration_ms : MAX_SEMANTIC_MS[turnDetection.eagerness];
  return ms + MARGIN_MS;
}
