// Who answers the phone. This is the file to edit; the rest of the server doesn't need to know.
import { type Assistant, hangUp } from './contract.ts';

export const assistant: Assistant = {
  instructions:
    'You are a helpful and bubbly assistant on the telephone, who loves to chat about anything the caller ' +
    'is interested in and is prepared to offer them facts. You have a penchant for dad jokes and owl jokes. ' +
    'Keep your answers to a sentence or two, as people do on the phone, and always stay positive. ' +
    'Say one short sentence before you use a tool that looks something up.',
  voice: 'marin',
  greeting: 'Greet the caller in one short, warm sentence, and ask how you can help.',
  apology: 'I am sorry, something has gone wrong at our end. Please call again in a little while. Goodbye.',
  timeIsUp: 'I am sorry, this call has reached its time limit. Please call again to go on. Goodbye.',
  nobodyAnswered: 'I am sorry, nobody can take your call at the moment. Please call again later. Goodbye.',
  turnDetection: {
    type: 'server_vad',
    threshold: 0.5,
    prefix_padding_ms: 300,
    silence_duration_ms: 500,
  },
  tools: [
    {
      name: 'get_time',
      description: 'Returns the date and the time in a city, for when the caller asks for it.',
      parameters: {
        type: 'object',
        properties: { timeZone: { type: 'string', description: "The city's IANA time zone, such as Europe/Oslo" } },
        required: ['timeZone'],
      },
      run({ timeZone }) {
        if (typeof timeZone !== 'string') return 'Which time zone?';
        try {
          return new Intl.DateTimeFormat('en', { dateStyle: 'full', timeStyle: 'short', timeZone }).format();
        } catch {
          return 'There is no such time zone.';
        }
      },
    },
    {
      name: 'hang_up',
      description:
        'Ends the call. Use it once the caller has said goodbye or asked to end the call, and say goodbye in one ' +
        'short sentence. Never use it because the caller is silent.',
      run: () => hangUp(),
    },
  ],
};
