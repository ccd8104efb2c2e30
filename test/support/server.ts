import { Writable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import type { Calls } from '../../src/call/calls.ts';
import type { Assistant } from '../../src/contract.ts';
import { buildApp, type Relay } from '../../src/http/app.ts';
import { assistant as testAssistant } from '../simulator/assistant.ts';
import { testConfig } from './config.ts';
import { found } from './found.ts';

type Line = Record<string, unknown>;

/** A server that listens, and its log. */
export class TestServer {
  readonly app: FastifyInstance;
  readonly calls: Calls;
  readonly shutDown: Relay['shutDown'];
  readonly origin: string;
  readonly log: Log;

  constructor({ app, calls, shutDown }: Relay, origin: string, log: Log) {
    this.app = app;
    this.calls = calls;
    this.shutDown = shutDown;
    this.origin = origin;
    this.log = log;
  }

  static async start(env: Record<string, string>, assistant: Assistant = testAssistant): Promise<TestServer> {
    const config = testConfig(env);
    const log = new Log();
    const relay = await buildApp(config, assistant, { level: 'trace', stream: log });
    return new TestServer(relay, await relay.app.listen({ host: '127.0.0.1', port: 0 }), log);
  }

  /** The TwiML that Twilio gets after the stream of a call. */
  async lastWords(callSid: string): Promise<string> {
    return (await this.app.inject(`/call-ended?CallSid=${callSid}`)).body;
  }
}

/** Keeps a server's log, and lets a test wait for a line. */
export class Log extends Writable {
  readonly lines: Line[] = [];

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    for (const line of chunk.toString().trim().split('\n')) {
      this.lines.push(JSON.parse(line));
      this.emit('news');
    }
    done();
  }

  /** Resolves to the first line with this message, past or future. */
  find(msg: string): Promise<Line> {
    return found(this, () => this.lines.find((line) => line.msg === msg));
  }

  /** The messages of the lines that fit. */
  messages(fits: (line: Line) => boolean = () => true): unknown[] {
    return this.lines.filter(fits).map(({ msg }) => msg);
  }

  get text(): string {
    return this.lines.map((line) => JSON.stringify(line)).join('\n');
  }
}
