import type { Call } from './call.ts';
import * as callers from './callers.ts';
import { connectedUntil, endedAt, heldUp, ON_ITS_WAY_MS, sessionsOf, sum, TOOL_MS } from './callers.ts';
import type { Script } from './script.ts';
import type { Server } from './server.ts';
import type { Session } from './session.ts';
import type { Stream } from './stream.ts';
import { SECRET, type World } from './world.ts';

const EXIT_MS = 20_000;
/** How long last words may take, in ms, and a second for streams that come meanwhile. */
const LAST_WORDS_MS = 12_000;
const MAX_ASKED = 3;
/** How long a response may be owed, in ms. */
const OWED_MS = 16_000;
/** What whoever dials once more doesn't meet again. */
const MAY_PASS = ['refused', 'hanging', '503'];
/** How long both ways over OpenAI's line take at least, in ms. */
const ROUND_TRIP_MS = 40;

/** What must hold in every world, whatever goes wrong: a sentence, and what breaks it. */
export const RULES: Record<string, (world: World) => string[]> = {
  'Every call ends, and its caller has heard a voice at the end unless the caller left': (world) => [
    ...world.twilio.calls
      .filter(({ overAt }) => overAt === undefined)
      .map(({ name }) => `${name} does not end`),
    ...each(world, callers.endsBadly),
    ...each(world, (call, stream) => hangsUpOn(world, call, stream)),
  ],
  'There are never 16 s of silence while a reply is due': (world) => each(world, callers.hearsNothing),
  'No audio of an interrupted reply follows its clear': (world) =>
    each(world, (_, stream) => callers.hearsMoreAfterClear(stream)),
  'Nothing is played over a caller who speaks': (world) => eachSession(world, callers.isSpokenOver),
  'What OpenAI is told was heard is within 40 ms of what was played': (world) =>
    eachSession(world, (call, stream, session) =>
      session.items.flatMap((item) => callers.isMisheard(call, stream, session, item)),
    ),
  "No word of the caller's is lost or sent twice": (world) =>
    each(world, (call, stream) => [
      ...callers.repeatsWords(call, stream),
      ...callers.losesWords(call, stream),
      ...callers.leavesWords(call, stream),
    ]),
  'One response is asked for at a time, and none is owed for ever': (world) =>
    eachSession(world, (call, stream, session) => [
      ...asksTooSoon(session, heldUp(call, stream)),
      ...owes(call, stream, session),
      ...triesTooOften(session),
    ]),
  'A silent caller is asked three times, and told goodbye then': (world) => each(world, asksTooOften),
  'Each call of a tool is run and answered once': (world) => eachSession(world, runsWrongly),
  'Each token and each preparation is used once': (world) =>
    world.servers.flatMap((server) => [...usesTwice(world, server), ...preparesTwice(world, server)]),
  'A session is left only if it is lost or expires, and another one goes on': (world) =>
    each(world, (call, stream) => leavesSession(world, call, stream)),
  'A place is taken exactly while a call lives': ({ servers, script }) =>
    servers.flatMap((server) => miscounts(server, script)),
  'At the end there are no timers, sockets, sessions or listeners': (world) => [
    ...world.servers.flatMap(({ party, connections }) => [
      ...(party.timers.size > 0 ? [`${party.name} has ${party.timers.size} timers`] : []),
      ...(connections > 0 ? [`${party.name} has ${connections} connections`] : []),
    ]),
    ...[...world.openai.lines]
      .filter(({ ends }) => !ends[0].destroyed)
      .map(({ ends }) => `${ends[0].party.name} has a socket to OpenAI`),
    ...(world.leftListeners > 0 ? [`${world.leftListeners} listeners`] : []),
  ],
  'Each call has one line `call ended` and one `ended`, and its signal is aborted': (world) =>
    world.servers.flatMap((server) => reportsWrongly(world, server)),
  'No line of the log has anything secret': (world) =>
    world.servers.flatMap((server) => tells(world, server)),
  'A process that was told to stop ends its calls after its grace, and has exited 20 s later': ({
    servers,
    script,
  }) => servers.flatMap((server) => stopsWrongly(script, server)),
  'Neither Twilio nor OpenAI has anything to object to': ({ objections }) => objections,
};

/** What a world breaks, a line each. */
export function brokenRules(world: World): string[] {
  return Object.entries(RULES).flatMap(([sentence, broken]) =>
    broken(world).map((what) => `${sentence}: ${what}`),
  );
}

/** What is wrong with each call whose stream was opened. */
function each({ twilio }: World, wrong: (call: Call, stream: Stream) => string[]): string[] {
  return twilio.calls.flatMap((call) => {
    const { stream } = call;
    if (stream === undefined) return [];
    return wrong(call, stream).map((what) => `${call.name} ${what}`);
  });
}

/** What is wrong with each session that such a call had. */
function eachSession(
  world: World,
  wrong: (call: Call, stream: Stream, session: Session) => string[],
): string[] {
  return each(world, (call, stream) =>
    sessionsOf(call, stream).flatMap((session) => wrong(call, stream, session)),
  );
}

/** Whoever speaks up over the goodbye keeps the call, once, unless it must end. */
function hangsUpOn({ script }: World, call: Call, stream: Stream): string[] {
  const { server, closed, startedAt = 0 } = stream;
  const { at = 0 } = closed ?? {};
  const sessions = sessionsOf(call, stream);
  const [bye, ...others] = sessions
    .flatMap(({ toolCalls }) => toolCalls)
    .filter(({ name }) => name === 'bye' || name === 'transfer');
  const mustEnd = (server.stoppedAt ?? Infinity) < at || at > startedAt + (script.maxCallSeconds - 1) * 1_000;
  const isGoodbye = /^(assistant hung up|put through)$/.test(String(callers.reasonOf(stream)));
  const isLost = sessions.some(({ wasLeft, lostAt = Infinity }) => !wasLeft && lostAt < at);
  if (bye === undefined || others.length > 0 || mustEnd || isLost || !isGoodbye) return [];
  // The close takes three ways.
  const slack = ROUND_TRIP_MS + 3 * call.plan.delayMs + heldUp(call, stream);
  const turns = sessions.flatMap((session) => session.turns).filter(({ began }) => began > bye.at);
  const isCutOff =
    turns.length === 1 && turns.some(({ began, ended = at }) => ended >= at && began + slack < at);
  return isCutOff ? [`hangs up at ${at} on a caller who speaks`] : [];
}

function asksTooSoon({ creates, responses, deafAt = Infinity }: Session, held: number): string[] {
  const wrong = creates.find((at, index) => {
    // What came during a stall is read at once after it.
    const isAsked = held < 1_000 && at - (creates[index - 1] ?? -Infinity) < ROUND_TRIP_MS;
    const isKnown = responses.some(
      ({ began, done = Infinity }) => began + ROUND_TRIP_MS + ON_ITS_WAY_MS + held < at && at < done,
    );
    return (isAsked || isKnown) && at < deafAt;
  });
  return wrong === undefined ? [] : [`asks for a response too soon at ${wrong}`];
}

/** A response that fails is asked for once more. */
function triesTooOften({ responses, turns, creates, debts }: Session): string[] {
  const wrong = responses.find(({ began }, index) => {
    const [first, second] = responses.slice(Math.max(0, index - 2), index);
    const haveFailed = first?.status === 'failed' && second?.status === 'failed';
    const isAnswer =
      turns.some(({ ended = Infinity }) => ended > (first?.began ?? 0)) ||
      debts.some(({ seenAt }) => seenAt === began);
    const isAsked = creates.includes(began) && !isAnswer;
    return haveFailed && isAsked;
  });
  return wrong === undefined ? [] : [`tries a third time at ${wrong.began}`];
}

/** A fourth question in a row is cancelled, as are those that come too early; those over a tool don't count. */
function asksTooOften(call: Call, stream: Stream): string[] {
  if (heldUp(call, stream) > 1_000) return [];
  const { startedAt = Infinity } = stream;
  const sessions = sessionsOf(call, stream);
  const answered = sessions.flatMap((session) => {
    const { questions, responses, deafAt = Infinity } = session;
    return questions
      .filter(
        ({ at, response }) => at > startedAt && at < deafAt && responses[response]?.status === 'completed',
      )
      .map((question) => ({ ...question, session }));
  });
  const asked = answered.filter(
    ({ at, session: { toolCalls } }) =>
      at < connectedUntil(call, stream) &&
      !toolCalls.some((tool) => at > tool.at && at < tool.at + (TOOL_MS[tool.name] ?? 0) + 1_000),
  );
  const sounds = [...sessions.flatMap(({ turns }) => turns.map(({ began }) => began)), ...stream.keys];
  const wrong = asked.find(({ at }, index) => {
    const since = asked[index - MAX_ASKED]?.at;
    return since !== undefined && !sounds.some((sound) => sound > since && sound < at);
  });
  const early = answered.filter(({ at, response, session: { number } }) =>
    stream.playout.played.some(
      (part) => part.session === number && part.response < response && part.ends > at + ON_ITS_WAY_MS,
    ),
  );
  return [
    ...(wrong === undefined ? [] : [`is asked for the fourth time at ${wrong.at}`]),
    ...early.map(({ at }) => `is asked at ${at} while still hearing the assistant`),
  ];
}

function owes(call: Call, stream: Stream, session: Session): string[] {
  const end = Math.min(endedAt(call, stream), session.lostAt ?? Infinity);
  const cuts = [...session.turns.map(({ began }) => began), ...stream.playout.clears];
  return session.debts.flatMap(({ at, callId, seenAt = end }) => {
    const made = session.toolCalls.find((tool) => tool.callId === callId);
    // A caller who has moved on is owed nothing.
    const isLeft = made !== undefined && cuts.some((cut) => cut > made.since && cut < at + OWED_MS);
    const isOverdue = seenAt - at > OWED_MS + heldUp(call, stream) + (TOOL_MS.endless ?? 0);
    return isOverdue && !isLeft ? [`is owed a response for ${seenAt - at} ms from ${at} on`] : [];
  });
}

function runsWrongly(call: Call, stream: Stream, session: Session): string[] {
  const end = Math.min(endedAt(call, stream), session.lostAt ?? Infinity, session.deafAt ?? Infinity);
  return session.toolCalls.flatMap(({ id, name, at, answers }) => {
    const runs = stream.server.runs.get(id) ?? 0;
    const heardAt = Math.max(at, stream.startedAt ?? Infinity) + ON_ITS_WAY_MS;
    const due = heardAt + 1_000 + (TOOL_MS[name] ?? 0) + heldUp(call, stream);
    const expected = name === 'unknown' || name === 'garbled' ? 0 : 1;
    const isShort = due < end && (runs < expected || answers < 1);
    return runs > expected || answers > 1 || isShort
      ? [`has ${name} ${id} run ${runs} and answered ${answers} times`]
      : [];
  });
}

function usesTwice({ twilio }: World, server: Server): string[] {
  const started = new Set(
    server.lines.filter(({ msg }) => msg === 'call started').map(({ streamSid }) => streamSid),
  );
  const streams = twilio.calls.flatMap((call) => call.streams.filter((stream) => stream.server === server));
  const used = streams.filter(({ sid }) => started.has(sid)).map(({ token }) => token);
  return used
    .filter((token, index) => used.indexOf(token) < index)
    .map(() => `${server.party.name} lets a token in twice`);
}

function preparesTwice({ twilio }: World, server: Server): string[] {
  return twilio.calls.flatMap(({ name, sessions }) => {
    const mine = sessions.filter((session) => session.server === server.party && !session.isExpiring);
    return mine.flatMap(({ boundAt = 0 }, index) => {
      const before = mine[index - 1];
      if (before === undefined || before.deafAt !== undefined || server.hasJumped) return [];
      const overlap = (before.closedAt ?? Infinity) - boundAt;
      const held = sum(server.stalls.map(({ ms }) => ms));
      return overlap > 3_000 + held ? [`${name} has two sessions at ${boundAt}`] : [];
    });
  });
}

function leavesSession({ script, metAt }: World, call: Call, stream: Stream): string[] {
  const { server } = stream;
  const sessions = sessionsOf(call, stream);
  if (server.hasJumped || heldUp(call, stream) > 1_000) return [];
  const end = endedAt(call, stream) - 1_000;
  const left = sessions.filter(
    ({ wasLeft, isExpiring, isUsed, closedAt = Infinity }) =>
      wasLeft && isUsed && !isExpiring && closedAt < end,
  );
  const losses = sessions.filter(({ wasLeft, lostAt = Infinity }) => !wasLeft && lostAt <= end + 1_000);
  const dials = script.faults.flatMap((fault) => {
    if (fault.does !== 'dialling') return [];
    const { at, until } =
      fault.ms > 0
        ? { at: fault.at, until: fault.at + fault.ms }
        : { at: metAt.get(fault) ?? 0, until: metAt.get(fault) ?? 0 };
    return at <= end + 1_000 && until > call.plan.at ? [fault] : [];
  });
  const failures = losses.length + dials.length;
  const wasReady = losses.every(({ readyAt = Infinity, lostAt = 0 }) => readyAt + ON_ITS_WAY_MS < lostAt);
  // As if the key were refused.
  const isRefused = call.plan.acts.some((act) => act.does === 'close' && act.code === 3000);
  const mayEnd =
    isRefused ||
    failures > 1 ||
    !wasReady ||
    dials.some(({ ms, meets }) => ms > 0 || !MAY_PASS.includes(meets));
  const isEnded = /^openai (closed|silent)|^dialling|^not ready/.test(String(callers.reasonOf(stream)));
  const unbriefed = sessions.filter(({ isUsed, isBriefed, readyAt, lostAt = end }, index) => {
    const heard = stream.playout.played.filter(({ session }) => session === sessions[index - 1]?.number);
    return (
      index > 0 &&
      heard.length > 0 &&
      isUsed &&
      !isBriefed &&
      (readyAt ?? Infinity) + ON_ITS_WAY_MS < Math.min(end, lostAt)
    );
  });
  return [
    ...left.map(({ number, closedAt }) => `leaves session ${number}, which was well, at ${closedAt}`),
    ...(isEnded && !mayEnd ? [`ends by a failure that passes`] : []),
    ...unbriefed.map(({ number }) => `tells session ${number} nothing of what was said`),
  ];
}

function stopsWrongly({ graceSeconds }: Script, server: Server): string[] {
  const { party, stoppedAt = 0, exitedAt = Infinity, stalls, calls, lines } = server;
  const graceMs = graceSeconds * 1_000;
  const graceEnds = stoppedAt + graceMs + sum(stalls.map(({ ms }) => ms));
  const isEnded = (sid: string) =>
    lines.some(
      ({ msg, callSid, reason }) => msg === 'call ended' && callSid === sid && reason === 'shutdown',
    );
  const early = calls.filter(
    ({ sid, endedAt = 0 }) => endedAt > stoppedAt && endedAt < stoppedAt + graceMs && isEnded(sid),
  );
  const late = calls.filter(({ endedAt = 0 }) => endedAt > graceEnds + LAST_WORDS_MS);
  return [
    ...early.map(({ sid }) => `${party.name} stops at ${stoppedAt}, and ends ${sid} at once`),
    ...late.map(({ sid }) => `${party.name} stops at ${stoppedAt}, and lets ${sid} live on`),
    ...(exitedAt > graceEnds + EXIT_MS
      ? [`${party.name} stops at ${stoppedAt}, and exits at ${exitedAt}`]
      : []),
  ];
}

function miscounts({ party, counts }: Server, { places }: Script): string[] {
  const wrong = counts.find(({ live, living }) => live !== real(living) || live > places);
  return wrong === undefined
    ? []
    : [`${party.name} counts ${wrong.live} of ${real(wrong.living)} at ${wrong.at}`];
}

/** How many calls lived; what is said never to end is told of elsewhere. */
function real(living: Server['calls']): number {
  return living.filter(({ endedAt }) => endedAt !== undefined).length;
}

function reportsWrongly({ twilio }: World, { calls, lines, reports, party }: Server): string[] {
  const count = (sid: string, msg: string) =>
    lines.filter((line) => line.msg === msg && line.callSid === sid).length;
  const told = (sid: string) => reports.filter((report) => report.sid === sid).length;
  const turnedAway = (sid: string) => {
    const streams = twilio.callOf(sid)?.streams ?? [];
    return streams.some(
      ({ server, closed }) => server.party === party && [1008, 1013].includes(closed?.code ?? 0),
    );
  };
  const sids = [...new Set(calls.map(({ sid }) => sid))];
  return [
    ...calls
      .filter(({ signal }) => !signal.aborted)
      .map(
        ({ sid }) =>
          `${sid}, ${turnedAway(sid) ? 'turned away' : 'let in'}, has a signal that is not aborted`,
      ),
    ...calls
      .filter(({ signal }) => reports.filter((report) => report.signal === signal).length > 1)
      .map(({ sid }) => `${sid} is told of twice`),
    ...sids
      .filter((sid) => count(sid, 'call ended') !== told(sid) || count(sid, 'call started') > told(sid))
      .map((sid) => `${sid} has ${count(sid, 'call ended')} lines, and is told of ${told(sid)} times`),
  ];
}

function tells({ twilio }: World, { lines, party }: Server): string[] {
  const tokens = twilio.calls.flatMap(({ streams }) => streams.flatMap(({ token }) => token ?? []));
  const words = ['hush', SECRET.from, ...tokens];
  const all = lines.map((line) => JSON.stringify(line));
  return all
    .filter((line) => words.some((word) => line.includes(word)))
    .map((line) => `${party.name} ${line}`);
}
