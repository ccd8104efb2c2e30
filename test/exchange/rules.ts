import type { Item, Session } from './openai.ts';
import type { Played } from './playout.ts';
import type { Server } from './server.ts';
import type { Call, Stream } from './twilio.ts';
import { SECRET, type World } from './world.ts';

/** One thing that must hold in every world, whatever goes wrong: a sentence, and what of a world breaks it. */
interface Rule {
  sentence: string;
  broken(world: World): string[];
}

const SILENCE_MS = 16_000;
const ACCURACY_MS = 40;
/** How long after the last word the end may come, in ms: the goodbye is awaited for 2 s, and the action asked 0.7 s later. */
const LAST_WORD_MS = 5_000;
/** How much of what the caller says before a session is ready is kept, in ms, and a frame less. */
const EARLY_MS = 9_500;
const MAX_HELD_MS = 30_000;
const GRACE_MS = 20_000;
/** How long both ways over OpenAI's line take at least, and how long a message may be on its way, in ms. */
const ROUND_TRIP_MS = 40;
const ON_ITS_WAY_MS = 250;
/** How long each tool may run, in ms. */
const TOOL_MS: Record<string, number> = { slow: 3_000, endless: 10_000 };

export const RULES: Rule[] = [
  {
    sentence: 'Every call ends, and its caller has heard a voice at the end unless the caller left',
    broken: (world) => each(world, endOf),
  },
  {
    sentence: 'There are never 16 s of silence while a reply is due',
    broken: (world) =>
      each(world, ({ call, stream }) => dues(call, stream).flatMap((due) => silenceAfter(call, stream, due))),
  },
  {
    sentence: 'No audio of an interrupted reply follows its clear',
    broken: (world) =>
      each(world, ({ stream }) => stream.playout.clears.flatMap((at) => afterClear(stream, at))),
  },
  {
    sentence: 'What OpenAI is told was heard is within 40 ms of what was played',
    broken: (world) =>
      each(world, ({ call, stream }) =>
        call.sessions.flatMap((session) =>
          session.items.flatMap((item) => misheard(call, stream, session, item)),
        ),
      ),
  },
  {
    sentence: "No word of the caller's is lost or sent twice",
    broken: (world) =>
      each(world, ({ call, stream }) => [...disordered(call, stream), ...lost(call, stream)]),
  },
  {
    sentence: 'One response is asked for at a time, and none is owed for ever',
    broken: (world) => [
      ...world.openai.sessions.flatMap(({ creates, number }) =>
        creates
          .filter((at, index) => at - (creates[index - 1] ?? -Infinity) < ROUND_TRIP_MS)
          .map((at) => `session ${number} is asked twice at ${at}`),
      ),
      ...each(world, ({ call, stream }) =>
        sessionsOf(call, stream).flatMap((session) => owed(call, stream, session)),
      ),
    ],
  },
  {
    sentence: 'Each call of a tool is run and answered once',
    broken: (world) =>
      each(world, ({ call, stream }) => call.sessions.flatMap((session) => tools(call, stream, session))),
  },
  {
    sentence: 'Each token and each preparation is used once',
    broken: (world) =>
      world.servers.flatMap((server) => [...tokens(world, server), ...preparations(world, server)]),
  },
  {
    sentence: 'A place is taken exactly while a call lives',
    broken: ({ servers }) => servers.flatMap(miscounts),
  },
  {
    sentence: 'At the end there are no timers, sockets, sessions or listeners',
    broken: (world) => [
      ...world.servers.flatMap(({ party, connections }) => [
        ...(party.timers.size > 0 ? [`${party.name} has ${party.timers.size} timers`] : []),
        ...(connections > 0 ? [`${party.name} has ${connections} connections`] : []),
      ]),
      ...[...world.openai.lines]
        .filter(({ ends }) => !ends[0].destroyed)
        .map(({ ends }) => `${ends[0].party.name} has a socket to OpenAI`),
    ],
  },
  {
    sentence: 'Each call has one line `call ended` and one `ended`, and its signal is aborted',
    broken: (world) => world.servers.flatMap(reports),
  },
  {
    sentence: 'No line of the log has anything secret',
    broken: (world) => world.servers.flatMap((server) => secrets(world, server)),
  },
  {
    sentence: 'A process that was told to stop has exited by its grace and 20 s',
    broken: ({ servers, script }) =>
      servers
        .filter(
          ({ stoppedAt = 0, exitedAt = Infinity, stalledMs }) =>
            exitedAt - stoppedAt > script.graceSeconds * 1_000 + GRACE_MS + stalledMs,
        )
        .map(
          ({ party, stoppedAt, exitedAt }) =>
            `${party.name} is told to stop at ${stoppedAt} and exits at ${exitedAt}`,
        ),
  },
  {
    sentence: 'Neither Twilio nor OpenAI has anything to object to',
    broken: ({ objections }) => objections,
  },
];

/** Faults of the product's that are known and not mended yet: take out what is. */
const KNOWN = [
  // A wall clock that jumps makes a token expire, and whoever brings it is cut off in silence.
  /ends after \d+ ms of silence: .*, 1008/,
  // A stream that comes when the grace is over is closed without a word.
  /ends after \d+ ms of silence: nothing, 1001/,
  // A goodbye that was asked for and fails is neither said nor made up for.
  /ends after \d+ ms of silence: (assistant hung up|put through), 1000/,
  // A stream that is turned away after `answer` was asked leaves the signal unaborted.
  /its signal is not aborted/,
];

/** What a world breaks, a line each, but for what is known. */
export function brokenRules(world: World): string[] {
  const all = RULES.flatMap(({ sentence, broken }) => broken(world).map((what) => `${sentence}: ${what}`));
  return all.filter((what) => !KNOWN.some((known) => known.test(what)));
}

interface Subject {
  world: World;
  call: Call;
  stream: Stream;
}

/** What is broken of each call whose stream has begun. */
function each(world: World, broken: (subject: Subject) => string[]): string[] {
  return world.twilio.calls.flatMap((call) => {
    const { stream } = call;
    if (stream === undefined) return call.overAt === undefined ? [`${call.name} does not end`] : [];
    return broken({ world, call, stream }).map((what) => `${call.name} ${what}`);
  });
}

/** For how long a call was held up by faults that are none of the product's, in ms. */
function heldUp({ plan }: Call, { server }: Stream): number {
  const holds = plan.acts.map((act) => (act.does === 'hold' || act.does === 'stop reading' ? act.ms : 0));
  return server.stalledMs + plan.jitterMs * 2 + holds.reduce((sum, ms) => sum + ms, 0);
}

/** The sessions that a stream was carried to, one after another. */
function sessionsOf({ sessions }: Call, { server, startedAt = Infinity }: Stream): Session[] {
  return sessions.filter(
    (session) => session.server === server.party && (session.closedAt ?? Infinity) > startedAt,
  );
}

/** When a call was over as far as its server knew. */
function endedAt({ sid, overAt = Infinity }: Call, { server, stoppedAt = Infinity, closed }: Stream): number {
  const ends = server.calls.filter((each) => each.sid === sid).map((each) => each.endedAt ?? Infinity);
  return Math.min(Math.max(...ends, 0), stoppedAt, closed?.at ?? Infinity, overAt);
}

/** When the line to Twilio was cut, if it was. */
function cutAt({ plan }: Call, { startedAt = Infinity }: Stream): number {
  const cuts = plan.acts.filter((act) => 'side' in act && act.side === 'twilio' && !('ms' in act));
  return startedAt + Math.min(...cuts.map(({ at }) => at));
}

function endOf({ call, stream }: Subject): string[] {
  if (call.overAt === undefined) return ['does not end'];
  if (call.leftAt !== undefined) return [];
  const last = call.told.at(-1);
  // Another server doesn't know whether the goodbye was heard.
  if (last === undefined || last.server !== stream.server) return [];
  const voices = [...call.says, ...stream.playout.played].filter(({ begins, ends }) => ends > begins);
  const silentMs = call.overAt - Math.max(...voices.map(({ ends }) => ends), 0);
  const allowed = LAST_WORD_MS + heldUp(call, stream);
  // Whoever wasn't reading for so long hasn't heard what was said meanwhile.
  if (silentMs <= allowed || allowed > MAX_HELD_MS) return [];
  const reasons = stream.server.lines.filter(
    ({ msg, callSid }) => msg === 'call ended' && callSid === call.sid,
  );
  const how = `${reasons.at(-1)?.reason ?? 'nothing'}, ${stream.closed?.code}`;
  return [`ends after ${Math.round(silentMs)} ms of silence: ${how}`];
}

/** When replies become due: at the start, after each turn and each key, and when a session is lost in mid-reply. */
function dues(call: Call, stream: Stream): number[] {
  const { plan } = call;
  const { startedAt = Infinity } = stream;
  const turns = [...stream.frames.entries()]
    .filter(([index, frame]) => frame?.isSpeech && !stream.frames[index + 1]?.isSpeech)
    .map(([, { at }]) => at);
  const keys = plan.acts.filter(({ does }) => does === 'press').map(({ at }) => startedAt + at);
  const losses = sessionsOf(call, stream).flatMap(({ responses, lostAt = Infinity }) =>
    responses.filter(({ done = Infinity }) => done > lostAt).map(() => lostAt),
  );
  return [startedAt, ...turns, ...keys, ...losses.filter((at) => at > startedAt)];
}

function silenceAfter(call: Call, stream: Stream, due: number): string[] {
  const { plan, says, sessions } = call;
  const { startedAt = 0, playout } = stream;
  const end = Math.min(endedAt(call, stream), cutAt(call, stream));
  const voices = [...says, ...playout.played].filter(({ begins, ends }) => ends > begins);
  const since = Math.max(due, ...voices.filter(({ begins }) => begins <= due).map(({ ends }) => ends));
  const speaks = plan.acts.filter(({ does }) => does === 'speak').map(({ at }) => startedAt + at);
  const until = Math.min(
    end,
    ...voices.map(({ begins }) => begins).filter((at) => at > due),
    ...speaks.filter((at) => at > due),
  );
  const toolMs = sessions.flatMap(({ toolCalls }) => toolCalls).map(({ name }) => TOOL_MS[name] ?? 0);
  const allowed = SILENCE_MS + heldUp(call, stream) + toolMs.reduce((sum, ms) => sum + ms, 0);
  return until - since > allowed ? [`has ${until - since} ms of silence from ${since} on`] : [];
}

function afterClear({ playout: { played } }: Stream, at: number): string[] {
  const key = ({ session, response }: Played) => `${session}/${response}`;
  const interrupted = new Set(played.filter(({ came, ends }) => came < at && ends === at).map(key));
  const late = played.filter((audio) => audio.came > at && interrupted.has(key(audio)));
  return late.map(
    (audio) => `hears more of response ${key(audio)} at ${audio.came}, after the clear at ${at}`,
  );
}

function misheard(call: Call, stream: Stream, session: Session, item: Item): string[] {
  const parts = stream.playout.played.filter(
    (part) => part.session === session.number && part.item === item.number,
  );
  const heardMs = parts.reduce((sum, { begins, ends }) => sum + ends - begins, 0);
  const allowed = ACCURACY_MS + heldUp(call, stream);
  const { clears } = stream.playout;
  const clear = clears.find((at) => parts.some(({ ends }) => ends === at)) ?? Infinity;
  const isAlive = clear + ON_ITS_WAY_MS < Math.min(endedAt(call, stream), session.lostAt ?? Infinity);
  if (item.toldMs === undefined) {
    const isCut = isAlive && item.ms - heardMs > allowed;
    return isCut ? [`has heard ${heardMs} ms of ${item.id}, and OpenAI isn't told`] : [];
  }
  if (!isAlive || Math.abs(item.toldMs - heardMs) <= allowed) return [];
  return [`has heard ${heardMs} ms of ${item.id}, and OpenAI is told ${item.toldMs}`];
}

function disordered({ sessions }: Call, stream: Stream): string[] {
  return sessions.flatMap((session) => {
    const frames = session.frames.filter((frame) => frame.stream === stream.number).map(({ frame }) => frame);
    const index = frames.findIndex((frame, at) => frame <= (frames[at - 1] ?? -1));
    return index === -1 ? [] : [`sends frame ${frames[index]} after ${frames[index - 1]}`];
  });
}

function lost(call: Call, stream: Stream): string[] {
  const { delayMs, jitterMs } = call.plan;
  const sessions = sessionsOf(call, stream);
  const mine = sessions.flatMap(({ frames }) => frames.filter((each) => each.stream === stream.number));
  const heard = new Set(mine.map(({ frame }) => frame));
  const wayMs = ON_ITS_WAY_MS + delayMs + jitterMs;
  const slack = wayMs + heldUp(call, stream);
  const readyAt = Math.min(...sessions.map((session) => session.readyAt ?? Infinity));
  const end = Math.min(endedAt(call, stream), cutAt(call, stream)) - slack;
  // What was given to a session that died went with it, until the server could notice.
  const gaps = sessions.flatMap(({ deafAt, lostAt }, index) => {
    const next = sessions[index + 1];
    const noticedAt = next?.readyAt === undefined ? Infinity : (next.boundAt ?? Infinity);
    const to = deafAt === undefined && noticedAt < Infinity ? (lostAt ?? 0) : noticedAt;
    const from = Math.min(deafAt ?? Infinity, lostAt ?? Infinity);
    return [{ from: from - slack, to: to + slack }];
  });
  const missing = [...stream.frames.entries()].filter(([frame, sent]) => {
    if (sent === undefined || heard.has(frame) || sent.at >= end || sent.at < readyAt - EARLY_MS)
      return false;
    return !gaps.some(({ from, to }) => sent.at >= from && sent.at <= to);
  });
  if (readyAt > end) return [];
  return missing
    .slice(0, 1)
    .map(([frame, { at }]) => `loses ${missing.length} frames, the first ${frame}, sent at ${at}`);
}

function owed(call: Call, stream: Stream, session: Session): string[] {
  const end = Math.min(endedAt(call, stream), session.lostAt ?? Infinity);
  return session.debts.flatMap(({ at, callId, seenAt = end }) => {
    const made = session.toolCalls.find((tool) => tool.callId === callId);
    const isLeft =
      made !== undefined &&
      [...session.turns.map(({ began }) => began), ...stream.playout.clears].some(
        (turn) => turn > made.since && turn < at + SILENCE_MS,
      );
    const isOverdue = seenAt - at > SILENCE_MS + heldUp(call, stream) + (TOOL_MS.endless ?? 0);
    return isOverdue && !isLeft ? [`is owed a response for ${seenAt - at} ms from ${at} on`] : [];
  });
}

function tools(call: Call, stream: Stream, session: Session): string[] {
  const end = Math.min(endedAt(call, stream), session.lostAt ?? Infinity);
  return session.toolCalls.flatMap(({ id, name, at, answers }) => {
    const runs = stream.server.runs.get(id) ?? 0;
    const due = at + ON_ITS_WAY_MS + 1_000 + (TOOL_MS[name] ?? 0) + heldUp(call, stream);
    const isKnown = name !== 'unknown' && name !== 'garbled';
    const isMine =
      session.server === stream.server.party &&
      stream.startedAt !== undefined &&
      due > stream.startedAt + 1_000;
    const isFinal = isMine && due < end;
    if (runs > 1 || answers > 1)
      return [`has ${name} ${id} run ${runs} times, and answered ${answers} times`];
    if (isFinal && (answers === 0 || (isKnown && runs === 0)))
      return [`has ${name} ${id} run ${runs} times, and answered ${answers} times by ${end}`];
    return [];
  });
}

function tokens({ twilio }: World, server: Server): string[] {
  const started = new Set(
    server.lines.filter(({ msg }) => msg === 'call started').map(({ streamSid }) => streamSid),
  );
  const used = twilio.calls
    .flatMap(({ streams }) => streams.filter((stream) => stream.server === server && started.has(stream.sid)))
    .map(({ token }) => token);
  return used
    .filter((token, index) => used.indexOf(token) < index)
    .map(() => `${server.party.name} lets a token in twice`);
}

function preparations({ twilio }: World, server: Server): string[] {
  return twilio.calls.flatMap(({ name, sessions }) => {
    const mine = sessions.filter((session) => session.server === server.party && !session.isExpiring);
    return mine.flatMap(({ boundAt }, index) => {
      const before = mine[index - 1];
      if (before?.boundAt === undefined || before.deafAt !== undefined || boundAt === undefined) return [];
      const overlap = (before.closedAt ?? Infinity) - boundAt;
      return overlap > 3_000 + server.stalledMs ? [`${name} has two sessions at ${boundAt}`] : [];
    });
  });
}

function miscounts({ party, counts }: Server): string[] {
  // What never ends is told of elsewhere.
  const ended = counts.map(({ at, live, living }) => ({
    at,
    live,
    real: living.filter(({ endedAt }) => endedAt !== undefined).length,
  }));
  return ended
    .filter(({ live, real }) => live !== real)
    .slice(0, 1)
    .map(({ at, live, real }) => `${party.name} counts ${live} of ${real} at ${at}`);
}

function reports(server: Server): string[] {
  const ended = server.lines.filter(({ msg }) => msg === 'call ended').map(({ callSid }) => callSid);
  const count = (sid: string) => ended.filter((each) => each === sid).length;
  const sids = [...new Set(server.calls.map(({ sid }) => sid))];
  const started = sids.filter((sid) =>
    server.lines.some((line) => line.msg === 'call started' && line.callSid === sid),
  );
  const told = (sid: string) => server.reports.filter((report) => report.sid === sid);
  return [
    ...server.calls
      .filter(({ signal }) => !signal.aborted)
      .map(({ sid, at }) => `${sid} was asked about at ${at}, and its signal is not aborted`),
    ...sids
      .filter((sid) => count(sid) !== told(sid).length)
      .map((sid) => `${sid} has ${count(sid)} lines, and is told of ${told(sid).length} times`),
    ...server.calls
      .filter(({ signal }) => server.reports.filter((report) => report.signal === signal).length > 1)
      .map(({ sid }) => `${sid} is told of twice`),
    ...started.filter((sid) => told(sid).length === 0).map((sid) => `${sid} is never told of`),
  ];
}

function secrets({ twilio }: World, { lines, party }: Server): string[] {
  const tokens = twilio.calls.flatMap(({ streams }) => streams.flatMap(({ token }) => token ?? []));
  const words = ['hush', SECRET.from, ...tokens];
  return lines
    .map((line) => JSON.stringify(line))
    .filter((line) => words.some((word) => line.includes(word)))
    .map((line) => `${party.name} ${line}`);
}
