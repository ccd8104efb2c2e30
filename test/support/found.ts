import { type EventEmitter, once } from 'node:events';

/** Resolves to the first value of `find`, which is called again at each 'news'. */
export async function found<T>(news: EventEmitter, find: () => T | undefined): Promise<T> {
  for (;;) {
    const thing = find();
    if (thing !== undefined) return thing;
    await once(news, 'news');
  }
}
