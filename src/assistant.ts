// Who answers the phone. This is the file to edit; the rest of the server doesn't need to know.

export interface Assistant {
  /** What the model is told about itself and its task, for the whole call. */
  instructions: string;
  /** One of OpenAI's voices; `marin` and `cedar` are the ones it recommends. */
  voice: 'alloy' | 'ash' | 'ballad' | 'cedar' | 'coral' | 'echo' | 'marin' | 'sage' | 'shimmer' | 'verse';
  /** How to open the call, as an instruction to the model; empty if the caller should speak first. */
  greeting: string;
  /** What Twilio says to the caller before it hangs up, where something failed. */
  apology: string;
  /** What Twilio says to the caller before it hangs up, where the call has lasted MAX_CALL_SECONDS. */
  timeIsUp: string;
  /** When OpenAI takes it that the caller has begun and finished speaking. */
  turnDetection: ServerVad | SemanticVad;
}

/** Goes by loudness: https://platform.openai.com/docs/guides/realtime-vad#server-vad */
export interface ServerVad {
  type: 'server_vad';
  /** How loud counts as speech, 0 to 1; raise it for noisy lines. */
  threshold: number;
  /** How much audio from before the first loud sound belongs to the turn, in ms. */
  prefix_padding_ms: number;
  /** How long the caller must pause before the assistant answers, in ms. */
  silence_duration_ms: number;
}

/** Goes by what was said: https://platform.openai.com/docs/guides/realtime-vad#semantic-vad */
export interface SemanticVad {
  type: 'semantic_vad';
  /** How soon to answer: waits at most 8 s (low), 4 s (medium and auto) or 2 s (high). */
  eagerness: 'low' | 'medium' | 'high' | 'auto';
}

export const assistant: Assistant = {
  instructions:
    'You are a helpful and bubbly assistant on the telephone, who loves to chat about anything the caller ' +
    'is interested in and is prepared to offer them facts. You have a penchant for dad jokes and owl jokes. ' +
    'Keep your answers to a sentence or two, as people do on the phone, and always stay positive.',
  voice: 'marin',
  greeting: 'Greet the caller in one short, warm sentence, and ask how you can help.',
  apology: 'I am sorry, something has gone wrong at our end. Please call again in a little while. Goodbye.',
  timeIsUp: 'I am sorry, this call has reached its time limit. Please call again to go on. Goodbye.',
  turnDetection: {
    type: 'server_vad',
    threshold: 0.5,
    prefix_padding_ms: 300,
    silence_duration_ms: 500,
  },
};
