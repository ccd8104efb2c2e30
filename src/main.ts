import { start } from './start.ts';

await start((restarts) => import(restarts === 0 ? './assistant.ts' : `./assistant.ts?${restarts}`));
