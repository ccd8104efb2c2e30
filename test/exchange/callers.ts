import type { Call } from './call.ts';
import type { Item, Played } from './facts.ts';
import type { Session } from './session.ts';
import type { Stream } from './stream.ts';

// What callers heard, and what OpenAI heard of them: each function returns what is wrong, in words that follow the call's name.

const SILENCE_MS = 16_000;
const ACCURACY_MS = 40;
/** How long after the last word the end may come, in ms: the goodbye is awaited for 2 s, and the action asked 0.7 s later. */
const LAST_WORD_MS = 5_000;
/** How much of what the caller says before a session is ready is kept, in ms, and a frame less. */
const EARLY_MS = 9_500;
/** A lost session is noticed before more than its last audio, in ms, is forgotten. */
const NOTICED_MS = 500;
/** Whoever was cut off for longer, in ms, has heard what nobody can tell. */
const MAX_HELD_MS = 30_000;
/** How long a call may live on that its caller has left, in ms. */
const LEFT_MS = 2_000;
/** How long a message may be on its way, in ms. */
export const ON_ITS_WAY_MS = 250;
/** How long a tool may run, in ms; the others are done at once. */
export const TOOL_MS: Record<string, number> = { slow: 3_000, transfer: 1_500, endless: 10_000 };

/** For how long a call was held up by what is none of the server's business, in ms: jitter both ways, and of an echo. */
export function heldUp({ plan }: Call, { server, startedAt = 0 }: Stream): number {
  const stalls = server.stalls.filter(({ at, ms }) => at + ms > startedAt);
  const holds = plan.acts.map((act) => (act.does === 'hold' || act.does === 'stop reading' ? act.ms : 0));
  return sum(stalls.map(({ ms }) => ms)) + sum(holds) + plan.jitterMs * 3;
}

/** The sessions that a stream was carried to, one after another. */
export function sessionsOf(call: Call, stream: Stream): Session[] {
  const { server, startedAt = Infinity } = stream;
  const { at = Infinity } = answerOf(call, stream) ?? {};
  return call.sessions.filter(
    ({ server: its, boundAt = 0, closedAt = Infinity }) =>
      its === server.party && boundAt >= at && closedAt > startedAt,
  );
}

/** When a call was over as far as its server knew. */
export function endedAt(call: Call, stream: Stream): number {
  const { stoppedAt = Infinity, closed } = stream;
  const { endedAt = 0 } = answerOf(call, stream) ?? {};
  return Math.min(endedAt, stoppedAt, closed?.at ?? Infinity, call.overAt ?? Infinity);
}

/** What the assistant was asked about it; a call that wasn't claimed in time is asked about anew. */
function answerOf({ sid }: Call, { server }: Stream) {
  return server.calls.findLast((each) => each.sid === sid && each.endedAt !== undefined);
}

/** When the line to Twilio was cut, if it was. */
function cutAt({ plan }: Call, { startedAt = Infinity }: Stream): number {
  const cuts = plan.acts.filter((act) => 'side' in act && act.side === 'twilio' && !('ms' in act));
  return startedAt + Math.min(...cuts.map(({ at }) => at));
}

/** When a call was over, or its line to Twilio cut. */
export function connectedUntil(call: Call, stream: Stream): number {
  return Math.min(endedAt(call, stream), cutAt(call, stream));
}

/** Why the call of a stream ended, as its server logged it. */
export function reasonOf({ server, sid }: Stream): unknown {
  return server.lines.find(({ msg, streamSid }) => msg === 'call ended' && streamSid === sid)?.reason;
}

export function endsBadly(call: Call, stream: Stream): string[] {
  const { overAt, leftAt, told } = call;
  const { server, closed, playout } = stream;
  if (overAt === undefined) return [];
  const held = heldUp(call, stream);
  if (leftAt !== undefined) {
    const ends = server.calls
      .filter(({ sid, at }) => sid === call.sid && at < leftAt)
      .map((each) => each.endedAt ?? Infinity);
    const isCut = cutAt(call, stream) < leftAt;
    return !isCut && started(stream) && Math.max(...ends) > leftAt + LEFT_MS + held
      ? [`lives on though its caller left at ${leftAt}`]
      : [];
  }
  // The line broke while the stream was closing.
  const cut = cutAt(call, stream);
  if (endedAt(call, stream) < cut && cut < (closed?.at ?? 0)) return [];
  // Another server doesn't know whether the goodbye was heard.
  if (told.at(-1)?.server !== server || held > MAX_HELD_MS) return [];
  // A token that another server issued is fresh by its clock, and only that one knows the call before its stream starts.
  const issuer = told.find(({ twiml }) => twiml?.includes('<Connect'))?.server;
  const isUnknown = cut < (stream.startedAt ?? 0) + ON_ITS_WAY_MS;
  if (issuer !== server && (issuer?.hasJumped || server.hasJumped || isUnknown)) return [];
  const reason = reasonOf(stream);
  const silentMs = overAt - Math.max(...voices(call, stream).map(({ ends }) => ends));
  if (silentMs > LAST_WORD_MS + held + toolMs(sessionsOf(call, stream)))
    return [`ends after ${Math.round(silentMs)} ms of silence: ${reason}, ${closed?.code}`];
  // A session that fails for good before it is told of the end has no goodbye.
  const isTold = call.sessions.some(({ toolCalls }) =>
    toolCalls.some(({ name, answers }) => ['bye', 'transfer'].includes(name) && answers > 0),
  );
  const isGoodbye = isTold && (reason === 'assistant hung up' || reason === 'put through');
  const cutOff = playout.played.find(
    ({ begins, ends, ms }) => ends === closed?.at && ends - begins < ms - ACCURACY_MS,
  );
  const last = call.sessions.at(-1)?.responses.at(-1)?.status;
  // What breaks off or fails can't be heard to its end.
  return isGoodbye && last === 'completed' && held < ON_ITS_WAY_MS && cutOff !== undefined
    ? [`is cut off in its goodbye at ${cutOff.ends}, as a response is ${last}`]
    : [];
}

/** How long the tools of some sessions run, in ms. */
function toolMs(sessions: Session[]): number {
  return sum(sessions.flatMap(({ toolCalls }) => toolCalls).map(({ name }) => TOOL_MS[name] ?? 0));
}

function started({ server, sid }: Stream): boolean {
  return server.lines.some(({ msg, streamSid }) => msg === 'call started' && streamSid === sid);
}

function voices({ says }: Call, { playout }: Stream) {
  const said = says.map(({ begins, ends }) => ({ came: begins, begins, ends, session: undefined }));
  return [...said, ...playout.played].filter(({ begins, ends }) => ends > begins);
}

/** Silence from when a reply is due: after the start, a turn, a key, and when a session is lost or falls silent in mid-reply. */
export function hearsNothing(call: Call, stream: Stream): string[] {
  const { plan } = call;
  const { startedAt = Infinity } = stream;
  const sessions = sessionsOf(call, stream);
  const turns = [...stream.frames.entries()]
    .filter(([index, frame]) => frame?.isSpeech && !stream.frames[index + 1]?.isSpeech)
    .map(([, { at }]) => at);
  const lost = sessions.flatMap(({ number: of, responses, items, lostAt = Infinity }) =>
    responses
      // Nothing comes of those that begin after the loss.
      .filter(({ began }) => began < lostAt)
      .map(({ number, done = Infinity }) => ({
        lastAt: items.find(({ response }) => response === number)?.lastAt ?? lostAt,
        done,
      }))
      .filter(({ lastAt, done }) => done >= lostAt || done - lastAt > SILENCE_MS)
      .map(({ lastAt }) => ({ at: Math.min(lostAt, lastAt) + ON_ITS_WAY_MS, of })),
  );
  const dues: { at: number; of?: number }[] = [
    ...[startedAt, ...turns, ...stream.keys].map((at) => ({ at })),
    ...lost.filter(({ at }) => at > startedAt && at < Infinity),
  ];
  // What is held up sets the stream's clock back, which stays so while no frames come.
  const isMuted = plan.acts.some(({ does }) => does === 'mute');
  // A session that falls silent is left after 12 s at most, and the next one has 6 s.
  const brokenMs = plan.acts.some(({ does }) => does === 'break') ? 2_000 : 0;
  const allowed = SILENCE_MS + brokenMs + heldUp(call, stream) * (isMuted ? 2 : 1) + toolMs(sessions);
  const end = connectedUntil(call, stream);
  const speaks = plan.acts.filter(({ does }) => does === 'speak').map(({ at }) => startedAt + at);
  const heard = voices(call, stream);
  return dues.flatMap(({ at: due, of }) => {
    const before = heard.filter(({ came }) => came <= due + ON_ITS_WAY_MS).map(({ ends }) => ends);
    // What is on its way from a lost session is no reply; the next one's may be quicker.
    const isReply = ({ came, session }: (typeof heard)[number]) =>
      came > due || (of !== undefined && session !== of && came > due - ON_ITS_WAY_MS);
    const after = heard.filter(isReply).map(({ begins }) => begins);
    const since = Math.max(due, ...before);
    const silentMs = Math.min(end, ...after, ...speaks.filter((at) => at > due)) - since;
    return silentMs > allowed ? [`has ${Math.round(silentMs)} ms of silence from ${since} on`] : [];
  });
}

export function hearsMoreAfterClear({ playout: { played, clears } }: Stream): string[] {
  const key = ({ session, response }: Played) => `${session}/${response}`;
  return clears.flatMap((at) => {
    const interrupted = new Set(played.filter(({ came, ends }) => came < at && ends === at).map(key));
    const late = played.filter((audio) => audio.came > at && interrupted.has(key(audio)));
    return late.map(
      (audio) => `hears more of response ${key(audio)} at ${audio.came}, after the clear at ${at}`,
    );
  });
}

/** Whoever speaks is heard out: nothing more is sent once the server knows. */
export function isSpokenOver(call: Call, stream: Stream, { number, turns }: Session): string[] {
  const known = ON_ITS_WAY_MS + heldUp(call, stream);
  const late = stream.playout.played.find(
    ({ session, came }) =>
      session === number && turns.some(({ began, ended = Infinity }) => came > began + known && came < ended),
  );
  return late === undefined ? [] : [`is spoken over at ${late.came}`];
}

export function isMisheard(call: Call, stream: Stream, session: Session, item: Item): string[] {
  const { played, clears } = stream.playout;
  const parts = played.filter((part) => part.session === session.number && part.item === item.number);
  const heardMs = sum(parts.map(({ begins, ends }) => ends - begins));
  // Nobody can tell how long audio was held up on its way, and frames on theirs.
  const held = heldUp(call, stream);
  const allowed = ACCURACY_MS + (held > 1_000 ? 2 * held : held);
  const cut = item.toldAt ?? clears.find((at) => parts.some(({ ends }) => ends === at)) ?? Infinity;
  const end = Math.min(connectedUntil(call, stream), session.lostAt ?? Infinity);
  const isAlive = cut + ON_ITS_WAY_MS < end;
  const toldMs = item.toldMs ?? item.ms;
  if (!isAlive || Math.abs(toldMs - heardMs) <= allowed) return [];
  return [`has heard ${heardMs} ms of ${item.id}, and OpenAI believes ${toldMs}`];
}

export function repeatsWords({ sessions }: Call, stream: Stream): string[] {
  return sessions.flatMap((session) => {
    const frames = session.frames.filter((frame) => frame.stream === stream.number).map(({ frame }) => frame);
    const index = frames.findIndex((frame, at) => frame <= (frames[at - 1] ?? -1));
    return index === -1 ? [] : [`sends frame ${frames[index]} after ${frames[index - 1]}`];
  });
}

export function losesWords(call: Call, stream: Stream): string[] {
  const { delayMs, jitterMs } = call.plan;
  const sessions = sessionsOf(call, stream);
  const mine = sessions.flatMap(({ frames }) => frames.filter((each) => each.stream === stream.number));
  const heard = new Set(mine.map(({ frame }) => frame));
  const slack = ON_ITS_WAY_MS + delayMs + jitterMs + heldUp(call, stream);
  const readyAt = Math.min(...sessions.map((session) => session.readyAt ?? Infinity));
  const end = connectedUntil(call, stream) - slack;
  // A session that was deaf took words with it, until the server could notice.
  const gaps = sessions.flatMap(({ deafAt = Infinity, lostAt = Infinity, readyAt: from = 0 }, index) => {
    const next = sessions[index + 1];
    if (deafAt === Infinity && heldUp(call, stream) < NOTICED_MS && isFollowed(sessions, index, end - slack))
      return [];
    const noticedAt = next?.readyAt === undefined ? Infinity : (next.boundAt ?? Infinity);
    const since = Math.min(deafAt, lostAt) - slack;
    // All that waited goes up when it is ready.
    return [{ from: since < from ? 0 : since, to: noticedAt + slack }];
  });
  const missing = [...stream.frames.entries()].filter(([frame, sent]) => {
    if (sent === undefined || heard.has(frame) || sent.at >= end || sent.at < readyAt - EARLY_MS)
      return false;
    return !gaps.some(({ from, to }) => sent.at >= from && sent.at <= to);
  });
  const [first] = missing;
  if (first === undefined || readyAt > end) return [];
  return [`loses ${missing.length} frames, the first ${first[0]}, sent at ${first[1].at}`];
}

/** Whether a session after `index` took the call's audio for some time before `end`. */
function isFollowed(sessions: Session[], index: number, end: number): boolean {
  return sessions
    .slice(index + 1)
    .some(
      ({ isUsed, readyAt = Infinity, boundAt = Infinity, lostAt = Infinity }) =>
        isUsed && Math.max(readyAt, boundAt) < Math.min(end, lostAt - ON_ITS_WAY_MS),
    );
}

/** The words of a turn whose reply nobody heard are given to the next session, if the one that heard them is lost. */
export function leavesWords(call: Call, stream: Stream): string[] {
  const sessions = sessionsOf(call, stream);
  const slack = ON_ITS_WAY_MS + heldUp(call, stream);
  const end = connectedUntil(call, stream) - slack;
  return sessions.flatMap(
    ({ number, frames, turns, responses, lostAt = Infinity, deafAt = lostAt }, index) => {
      const later = sessions.slice(index + 1);
      const { began = Infinity } = turns.at(-1) ?? {};
      const isAnswered = stream.playout.played.some(
        ({ session, response }) => session === number && (responses[response]?.began ?? 0) >= began,
      );
      const isEmpty = responses.some((response) => response.began >= began && response.isEmpty);
      if (!isFollowed(sessions, index, end - slack) || isAnswered || isEmpty || began + slack > deafAt)
        return [];
      const given = new Set(later.flatMap((session) => session.frames.map(({ frame }) => frame)));
      // What is held up comes in one burst with the beginning of a turn, before the server knows of it.
      const since = began + (heldUp(call, stream) > 0 ? ON_ITS_WAY_MS : 0);
      const left = frames.filter(({ at, isSpeech, frame }) => isSpeech && at >= since && !given.has(frame));
      return left.length > 0 ? [`leaves ${left.length} frames to session ${number}, which is lost`] : [];
    },
  );
}

export function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
