import type { FastifyBaseLogger } from 'fastify';
import type { Assistant, CallInfo, Override, Persona } from '../contract.ts';
import { sessionUpdate, turnEndMs } from '../openai/session-update.ts';
import { isObject } from '../wire/json.ts';
import { isWellFormed } from '../wire/twiml.ts';
import { userCode } from './user-code.ts';

/** How long `answer` may take, in ms: it rings meanwhile. */
const ANSWER_MS = 1_000;
const TEXTS = ['instructions', 'greeting', 'apology', 'timeIsUp', 'twiml', 'about'] as const;

/** Who answers a call: the assistant as it stands, with what its `answer` says of this call; 'busy' turns it away. */
export async function whoAnswers(
  assistant: Assistant,
  call: CallInfo,
  log: FastifyBaseLogger,
): Promise<(Persona & Override) | 'busy'> {
  if (assistant.answer === undefined) return { ...assistant };
  let timer: NodeJS.Timeout | undefined;
  const timedOut = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => {
      log.error({ callSid: call.sid }, 'answer() took more than a second');
      resolve(undefined);
    }, ANSWER_MS);
  });
  try {
    const answer = await Promise.race([
      userCode.run({ callSid: call.sid }, async () => assistant.answer?.(call)),
      timedOut,
    ]);
    if (answer === 'busy') return answer;
    // What comes from a database may be of any type.
    if (answer !== undefined && !isObject(answer))
      throw new TypeError('it returned neither an object nor busy');
    // Nothing in place of a setting leaves it as it stands.
    const set = Object.entries(answer ?? {}).filter(([, value]) => value !== undefined && value !== null);
    const persona: Persona & Override = { ...assistant, ...Object.fromEntries(set) };
    check(persona);
    return persona;
  } catch (err) {
    log.error({ err, callSid: call.sid }, 'answer() failed');
    return { ...assistant };
  } finally {
    clearTimeout(timer);
  }
}

/** Throws a TypeError for what no session and no TwiML can be made of. */
function check(persona: Persona & Override): void {
  for (const name of TEXTS) {
    if (typeof (persona[name] ?? '') !== 'string') throw new TypeError(`its ${name} is no text`);
  }
  if (!isWellFormed(persona.twiml ?? '')) throw new TypeError('its twiml is not well-formed');
  JSON.stringify(sessionUpdate(persona));
  if (!Number.isFinite(turnEndMs(persona.turnDetection))) throw new TypeError('its turnDetection is none');
}
