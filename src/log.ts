import type { Writable } from 'node:stream';
import type { FastifyBaseLogger } from 'fastify';
import { isDoneWithin } from './timers.ts';
import { loggable } from './wire/loggable.ts';

/** Bytes that may wait for a slow reader of the log. */
const MAX_WAITING_BYTES = 1_048_576;
/** Time for the last lines at exit, in ms. */
const FLUSH_MS = 1_000;
/** Limits of what is logged of an exception: characters of its message, frames of its stack, depth of its causes. */
const MAX_MESSAGE = 500;
const MAX_FRAMES = 10;
const MAX_DEPTH = 2;
/** Interval of lines of one kind that strangers cause, in ms. */
const WINDOW_MS = 1_000;

/** The log's destination. Lines that can't be written, to a full disk for example, are dropped and counted. */
export class LogOutput {
  readonly #output: Writable;
  #dropped = 0;

  constructor(output: Writable) {
    this.#output = output;
    // Errors are counted by `write`.
    output.on('error', () => {});
  }

  write(line: string): void {
    if (this.#output.writableLength > MAX_WAITING_BYTES) {
      this.#dropped += 1;
      return;
    }
    const lines = this.#dropped;
    if (lines > 0) {
      this.#dropped = 0;
      const notice = { level: 40, time: Date.now(), lines, msg: 'log lines dropped' };
      this.#output.write(`${JSON.stringify(notice)}\n`, (error) => {
        if (error) this.#dropped += lines;
      });
    }
    this.#output.write(line, (error) => {
      if (error) this.#dropped += 1;
    });
  }

  /** Resolves when all lines are written, or after a second. */
  async flush(): Promise<void> {
    await isDoneWithin(new Promise((resolve) => this.#output.write('', resolve)), FLUSH_MS);
  }
}

/** Logs what strangers cause: one line a second of each kind, with the number of others. */
export class ThrottledLog {
  readonly #log: FastifyBaseLogger;
  /** The latest line of each kind since one was logged, and their number. */
  readonly #held = new Map<string, { fields: () => object; times: number }>();

  constructor(log: FastifyBaseLogger) {
    this.#log = log;
  }

  /** `message` is the kind, of which there must be few. */
  warn(fields: () => object, message: string): void {
    const held = this.#held.get(message);
    if (held !== undefined) {
      this.#held.set(message, { fields, times: held.times + 1 });
      return;
    }
    this.#log.warn(fields(), message);
    this.#held.set(message, { fields, times: 0 });
    setTimeout(() => this.#release(message), WINDOW_MS).unref();
  }

  #release(message: string): void {
    const held = this.#held.get(message);
    this.#held.delete(message);
    if (held !== undefined && held.times > 0) {
      this.warn(() => ({ ...held.fields(), times: held.times }), message);
    }
  }
}

/** Returns what may be logged of anything thrown: its other properties may hold secrets. Never throws. */
export function describeThrown(
  thrown: unknown,
  depth = MAX_DEPTH,
): Record<string, unknown> & Record<'type' | 'message' | 'stack', string> {
  const text = (key: string) => {
    const value = read(thrown, key);
    return typeof value === 'string' ? value : '';
  };
  const message = Object(thrown) === thrown ? text('message') : String(thrown);
  const stack = text('stack');
  // A stack begins with the message, which may be long.
  const frames = stack.slice(stack.indexOf(message) + message.length).match(/^ +at .+$/gm) ?? [];
  const lines = frames.slice(0, MAX_FRAMES).map((frame) => loggable(frame));
  const inner = (from: unknown, key: PropertyKey) => {
    const value = depth > 0 ? read(from, key) : undefined;
    return value === undefined ? [] : [describeThrown(value, depth - 1)];
  };
  const [cause] = inner(thrown, 'cause');
  const errors = [0, 1, 2, 3].flatMap((n) => inner(read(thrown, 'errors'), n));
  return {
    type: loggable(text('name') || typeof thrown),
    message: loggable(message, MAX_MESSAGE),
    stack: lines.join('\n'),
    ...(cause && { cause }),
    ...(errors.length > 0 && { errors }),
  };
}

function read(from: unknown, key: PropertyKey): unknown {
  try {
    return Reflect.get(Object(from), key);
  } catch {
    return undefined;
  }
}
