import type { FastifyBaseLogger } from 'fastify';
import type { Assistant, CallInfo, Override, Persona } from '../contract.ts';
import { isDoneWithin } from '../timers.ts';
import { isObject } from '../wire/json.ts';
import { mistakesOf } from './settings.ts';
import { userCode } from './user-code.ts';

/** Time for `answer`, in ms: it rings meanwhile. */
const ANSWER_MS = 1_000;

/** Resolves to the assistant's settings for a call, with what its `answer` returns, or to 'busy'. */
export async function whoAnswers(
  assistant: Assistant,
  call: CallInfo,
  log: FastifyBaseLogger,
): Promise<(Persona & Override) | 'busy'> {
  if (assistant.answer === undefined) return { ...assistant };
  try {
    const code = { callSid: call.sid, hook: 'answer' } as const;
    const answering = userCode.run(code, async () => assistant.answer?.(call));
    if (!(await isDoneWithin(answering, ANSWER_MS))) {
      log.error({ callSid: call.sid }, 'answer() timed out');
      return { ...assistant };
    }
    const answer = await answering;
    if (answer === 'busy') return answer;
    // Settings from a database may be of any type.
    if (answer !== undefined && !isObject(answer))
      throw new TypeError('it returned neither an object nor busy');
    // `null` and `undefined` keep the default, as does a mistake.
    const set = Object.entries(answer ?? {}).filter(([, value]) => value !== undefined && value !== null);
    const mistakes = mistakesOf({ ...assistant, ...Object.fromEntries(set) });
    for (const mistake of mistakes) {
      log.error({ callSid: call.sid, advice: `answer(): ${mistake}` }, 'answer() invalid');
    }
    const good = set.filter(([name]) => !mistakes.some((mistake) => mistake.startsWith(`${name}: `)));
    return { ...assistant, ...Object.fromEntries(good) };
  } catch (err) {
    log.error({ err, callSid: call.sid }, 'answer() failed');
    return { ...assistant };
  }
}
