import type { FastifyBaseLogger } from 'fastify';
import type { Assistant, CallInfo, Override, Persona } from '../contract.ts';
import { isObject } from '../wire/json.ts';
import { mistakesOf } from './settings.ts';
import { userCode } from './user-code.ts';

/** How long `answer` may take, in ms: it rings meanwhile. */
const ANSWER_MS = 1_000;

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
      userCode.run({ callSid: call.sid, hook: 'answer' }, async () => assistant.answer?.(call)),
      timedOut,
    ]);
    if (answer === 'busy') return answer;
    // What comes from a database may be of any type.
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
  } finally {
    clearTimeout(timer);
  }
}
