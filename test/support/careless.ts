// The server's process, with an assistant whose code makes the mistakes that are easily made.
import { EventEmitter } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { Tool } from '../../src/contract.ts';
import { start } from '../../src/start.ts';
import { assistant } from '../simulator/assistant.ts';

const fail = (message: string) => () => {
  throw new Error(message);
};
const emitter = new EventEmitter();

/** Each returns before its mistake shows. */
const MISTAKES: Record<string, Tool['run']> = {
  rejects: () => void Promise.reject(Object.freeze(new Error('floating'))),
  throws: () => void setTimeout(fail('timer'), 1),
  emits: () => void setTimeout(() => emitter.emit('error', new Error('emitter')), 1),
  listens: (_, { signal }) => signal.addEventListener('abort', fail('listener')),
  // As a query builder of a database.
  thens: () => ({
    // biome-ignore lint/suspicious/noThenProperty: that is the mistake.
    then(resolve: (value: unknown) => void) {
      setTimeout(fail('thenable'), 1);
      resolve('none');
    },
  }),
  fetches: (_, { signal }) =>
    void fetch(`${process.env.OPENAI_REALTIME_URL}`.replace('ws', 'http'), { signal }),
};

process.on('SIGUSR2', fail('a bug of ours'));

await start(async () => {
  setTimeout(fail('module'), 1);
  return {
    assistant: {
      ...assistant,
      tools: Object.entries(MISTAKES).map(([name, run]) => ({ name, description: name, run })),
      async answer({ signal }) {
        signal.addEventListener('abort', fail('answer'));
        return {};
      },
      async ended() {
        writeFile('/', 'no file');
      },
    },
  };
});
