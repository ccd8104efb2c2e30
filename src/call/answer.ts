import type { FastifyBaseLogger } from 'fastify';
import type { Answer, Assistant, CallInfo, Override, Persona } from '../contract.ts';
import { isDoneWithin } from '../timers.ts';
import { isObject } from '../wire/json.ts';
import { mistakesOf } from './settings.ts';
import { userCode } from './user-code.ts';

/** Time for `answer`, in ms: it rings meanwhile. */
const ANSWER_MS = 1_000;

type Answered = (Persona & Override) | 'busy';

/** Resolves to the assistant's settings for a call, with what its `answer` returns, or to 'busy'. */
export async function whoAnswers(
  assistant: Assistant,
  call: CallInfo,
  log: FastifyBaseLogger,
): Promise<Answered> {
  try {
    const code = { callSid: call.sid, hook: 'answer' } as const;
    const answering = userCode.run(code, async () => assistant.answer?.(call));
    if (await isDoneWithin(answering, ANSWER_MS)) return withAnswer(assistant, await answering, log);
    log.error('answer() timed out');
  } catch (err) {
    log.error({ err }, 'answer() failed');
  }
  return { ...assistant };
}

function withAnswer(assistant: Assistant, answer: Answer, log: FastifyBaseLogger): Answered {
  if (answer === 'busy') return answer;
  if (answer === undefined) return { ...assistant };
  // Settings from a database may be of any type.
  if (!isObject(answer)) throw new TypeError('it returned neither an object nor busy');
  // `null` and `undefined` keep the default, as does a mistake.
  const set = Object.entries(answer).filter(([, value]) => value !== undefined && value !== null);
  const mistakes = mistakesOf({ ...assistant, ...Object.fromEntries(set) });
  for (const mistake of mistakes) log.error({ advice: `answer(): ${mistake}` }, 'answer() invalid');
  const good = set.filter(([name]) => !mistakes.some((mistake) => mistake.startsWith(`${name}: `)));
  return { ...assistant, ...Object.fromEntries(good) };
}
