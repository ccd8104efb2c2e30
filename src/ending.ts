/** How a call ended, as far as its caller should hear of it. */
export type Outcome = 'completed' | 'failed' | 'time limit';

const completed = { outcome: 'completed', code: 1000 } as const;
const failed = { outcome: 'failed', code: 1011 } as const;
const refused = { outcome: 'failed', code: 1008 } as const;
const overloaded = { outcome: 'failed', code: 1013 } as const;

/** Every reason for which a stream ends: what its caller hears of it, and the close code that Twilio gets. */
export const ENDINGS = {
  'twilio stopped': completed,
  'twilio closed': completed,
  'twilio lost': failed,
  'twilio silent': failed,
  'twilio stalled': overloaded,
  'no start': refused,
  'bad token': refused,
  'not mu-law 8000 mono': refused,
  'call already live': refused,
  busy: overloaded,
  'dialling failed': failed,
  'not ready in time': failed,
  'session.update rejected': failed,
  'session not audio/pcmu': failed,
  'openai closed': failed,
  'openai error': failed,
  'openai silent': failed,
  'openai stalled': overloaded,
  'response failed': failed,
  'no reply': failed,
  'time limit': { outcome: 'time limit', code: 1000 },
  shutdown: { outcome: 'failed', code: 1001 },
} as const satisfies Record<string, { outcome: Outcome; code: number }>;

export type Reason = keyof typeof ENDINGS;
