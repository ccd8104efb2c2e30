import type { Assistant } from './assistant.ts';
import { type ClientEvent, PHONE_AUDIO } from './wire/openai.ts';

/** Configures a session for a telephone, with everything that would otherwise vary by model. */
export function sessionUpdate({ instructions, voice, turnDetection }: Assistant): ClientEvent {
  const format = { type: PHONE_AUDIO };
  return {
    type: 'session.update',
    session: {
      type: 'realtime',
      output_modalities: ['audio'],
      instructions,
      audio: {
        input: {
          format,
          turn_detection: { ...turnDetection, create_response: true, interrupt_response: true },
        },
        output: { format, voice },
      },
    },
  };
}
