import { assistant } from './assistant.ts';
import { start } from './start.ts';

await start(assistant);
