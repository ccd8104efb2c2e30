import type { Assistant, ServerVad } from '../../src/contract.ts';

export const VAD: ServerVad = {
  type: 'server_vad',
  threshold: 0.5,
  prefix_padding_ms: 300,
  silence_duration_ms: 500,
};

/** The assistant of the demo and of the tests, which edits of `src/assistant.ts` must not change. */
export const assistant: Assistant = {
  instructions: 'You are a test on the telephone.',
  voice: 'cedar',
  greeting: 'Say hello.',
  apology: 'I am sorry, something has gone wrong.',
  timeIsUp: 'The time limit is reached.',
  nobodyAnswered: 'Nobody is there.',
  turnDetection: VAD,
};
