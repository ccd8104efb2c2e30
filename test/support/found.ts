import { type EventEmitter, once } from 'node:events';

/** What `find` returns, at once or after the first 'news' with which that isn't undefined any more. */
export async function found<T>(news: EventEmitter, find: () => T | undefined): Promise<T> {
  for (;;) {
    const thing = find();
    if (thing !== undefined) return thing;
    await once(news, 'news');
  }
}
