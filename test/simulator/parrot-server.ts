import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { readConfig } from '../../src/config.ts';
import { hangUp, type Tool } from '../../src/contract.ts';
import { buildApp } from '../../src/http/app.ts';
import { assistant } from './assistant.ts';
import { type Parrot, type ParrotOptions, startParrot } from './parrot.ts';
import { recording } from './recording.ts';

const TOOLS: Tool[] = [
  {
    name: 'get_time',
    description: 'Returns the time in a city.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    run: ({ city }) => ({ city, time: '12:00' }),
  },
  { name: 'hang_up', description: 'Ends the call, once the caller has said goodbye.', run: () => hangUp() },
];

/** The real server, with a parrot in OpenAI's place. It accepts calls that are signed with `authToken`. */
export interface ParrotServer {
  readonly url: string;
  readonly authToken: string;
  readonly parrot: Parrot;
  /** The server's own count. */
  liveCalls(): Promise<number>;
  close(): Promise<void>;
}

/** Starts both on free ports, with the demo's tools and keys. Resolves when the first session is ready. */
export async function startParrotServer(
  onEvent: ParrotOptions['onEvent'],
  logLevel = 'warn',
): Promise<ParrotServer> {
  const news = new EventEmitter();
  const ready = once(news, 'session-ready');
  const greeting = recording('greeting');
  const parrot = await startParrot({
    greeting,
    onKeys: {
      1: { tool: 'get_time', args: { city: 'Oslo' } },
      2: { tool: 'hang_up', args: {}, says: greeting },
    },
    onEvent(event, session) {
      onEvent?.(event, session);
      // An emitter throws an event that is named error.
      if (event.type !== 'error') news.emit(event.type);
    },
  });
  // Calls are signed, so that they take the guarded path.
  const authToken = randomUUID();
  const config = readConfig({
    OPENAI_API_KEY: 'sk-demo',
    OPENAI_REALTIME_URL: parrot.url,
    TWILIO_AUTH_TOKEN: authToken,
    LOG_LEVEL: logLevel,
  });
  const { app } = await buildApp(config, { ...assistant, tools: TOOLS });
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  await ready;
  return {
    url,
    authToken,
    parrot,
    liveCalls: async () => (await app.inject('/')).json().calls,
    async close() {
      await app.close();
      await parrot.close();
    },
  };
}
