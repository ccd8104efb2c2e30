import type { Writable } from 'node:stream';
import type { FastifyBaseLogger } from 'fastify';
import { loggable } from './wire/loggable.ts';

/** How much may wait to be written when the log's reader is slow, in bytes. */
const MAX_WAITING_BYTES = 1_048_576;
/** How long to wait at the end for what is left, in ms. */
const FLUSH_MS = 1_000;
/** How much is logged of a thrown message, in characters, of its stack, in frames, and how deep its causes are. */
const MAX_MESSAGE = 500;
const MAX_FRAMES = 10;
const MAX_DEPTH = 2;
/** Each kind of what strangers cause is logged once in so many ms. */
const WINDOW_MS = 1_000;

/** Where the log goes. What can't be written, as the disk is full or nobody reads, is dropped and counted. */
export class LogOutput {
  readonly #output: Writable;
  #dropped = 0;

  constructor(output: Writable) {
    this.#output = output;
    // What can't be written is counted where it is written.
    output.on('error', () => {});
  }

  write(line: string): void {
    if (this.#output.writableLength > MAX_WAITING_BYTES) {
      this.#dropped += 1;
      return;
    }
    const lines = this.#dropped;
    if (lines > 0) {
      const notice = { level: 40, time: Date.now(), lines, msg: 'log lines dropped' };
      this.#output.write(`${JSON.stringify(notice)}\n`, (error) => {
        if (!error) this.#dropped -= lines;
      });
    }
    this.#output.write(line, (error) => {
      if (error) this.#dropped += 1;
    });
  }

  /** Resolves when all is written, or it is clear that it won't be. */
  async flush(): Promise<void> {
    await new Promise<void>((resolve) => {
      setTimeout(resolve, FLUSH_MS).unref();
      this.#output.write('', () => resolve());
    });
  }
}

/** Logs what strangers cause: each kind at most once a second, with how many there were since. */
export class ThrottledLog {
  readonly #log: FastifyBaseLogger;
  /** What came since each kind was last logged. */
  readonly #held = new Map<string, { fields: () => object; times: number }>();

  constructor(log: FastifyBaseLogger) {
    this.#log = log;
  }

  /** `message` names the kind, of which there must be few; `fields` are only asked for if it is logged. */
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

/** What is logged of whatever was thrown: its other properties may hold secrets. Never throws, and changes nothing. */
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
