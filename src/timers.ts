// Waits of which a stall of the process is no part. Node runs timers before it reads its sockets, so after a stall a deadline
// would be judged before the input that meets it is read: one that comes late is judged after the sockets were read, and only
// time in which the process ran counts.

/** A timer that is so late, in ms, comes after a stall. */
const LATE_MS = 50;
const BEAT_MS = 250;
/** The shortest stall that is logged, in ms. */
const LOGGED_MS = 500;
/** Time for acts in turn before the sockets are read again, in ms. */
const TURN_MS = 20;

let stalledMs = 0;

/** The time, in ms, for which the process has run. */
export function running(): number {
  return performance.now() - stalledMs;
}

/** Notices stalls, and calls `onStall` for each of 500 ms or more, until the returned function is called. One at a time. */
export function watchStalls(onStall: (ms: number) => void): () => void {
  const noteStall = (lateMs: number) => {
    stalledMs += lateMs;
    if (lateMs >= LOGGED_MS) onStall(Math.round(lateMs));
  };
  const heart = every(BEAT_MS, () => {}, noteStall).unref();
  return () => clearInterval(heart);
}

/** Calls `act` every `ms`, after the sockets were read. */
export function every(ms: number, act: () => void, onLate?: (lateMs: number) => void): NodeJS.Timeout {
  let due = performance.now() + ms;
  return setInterval(() => {
    const lateMs = performance.now() - due;
    due = performance.now() + ms;
    if (lateMs < LATE_MS) return act();
    onLate?.(lateMs);
    setImmediate(act);
  }, ms);
}

/** Calls `act` once the process has run for `ms`, unless the returned function is called. Doesn't keep the process alive. */
export function after(ms: number, act: () => void): () => void {
  let stalled = stalledMs;
  let timer = start(ms);
  let isOver = false;

  function start(restMs: number): NodeJS.Timeout {
    const due = performance.now() + restMs;
    // A late timer comes before the heartbeat's, perhaps: that has run when the sockets are read.
    return setTimeout(() => {
      const lateMs = performance.now() - due;
      if (lateMs < LATE_MS) judge(0);
      else setImmediate(() => judge(lateMs));
    }, restMs).unref();
  }

  function judge(lateMs: number): void {
    const restMs = stalledMs - stalled - lateMs;
    stalled = stalledMs;
    if (isOver) return;
    if (restMs >= 1) timer = start(restMs);
    else act();
  }

  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

const waiting: (() => void)[] = [];

/** Calls `act` in its turn, before others if it `isUrgent`: what many calls do at once leaves time for audio in between. */
export function inTurn(act: () => void, isUrgent: boolean): void {
  if (isUrgent) waiting.unshift(act);
  else waiting.push(act);
  if (waiting.length === 1) setImmediate(takeTurns);
}

function takeTurns(): void {
  const until = performance.now() + TURN_MS;
  do waiting.shift()?.();
  while (waiting.length > 0 && performance.now() < until);
  if (waiting.length > 0) setImmediate(takeTurns);
}

/** Resolves when `work` has, or once the process has run for `ms`; to whether it has. Rejects if `work` does before. */
export function isDoneWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const cancel = after(ms, () => resolve(false));
    void work.then(() => resolve(true), reject).finally(cancel);
  });
}
