import type { Reply } from './script.ts';
import type { Server } from './server.ts';

// What the rules judge, of what was said and heard.

/** Audio as it is played: of which session, item and response, from where in the item, and when. */
export interface Played {
  session: number;
  item: number;
  response: number;
  offset: number;
  ms: number;
  came: number;
  begins: number;
  ends: number;
}

/** An item with audio: how much there is of it, and up to where it was heard as far as OpenAI was told. */
export interface Item {
  id: string;
  number: number;
  response: number;
  ms: number;
  /** When there was more of it for the last time. */
  lastAt: number;
  toldMs?: number;
  toldAt?: number;
}

/** A tool's call, and what the client answered. */
export interface ToolCall {
  id: number;
  callId: string;
  name: string;
  at: number;
  /** When its response began. */
  since: number;
  answers: number;
}

/** An item that the client added and that a response should see. */
export interface Debt {
  at: number;
  callId?: string;
  seenAt?: number;
}

/** What Twilio was told to do, by which server. */
export interface Told {
  at: number;
  path: string;
  twiml: string | undefined;
  server: Server | undefined;
}

/** A response as it is generated. */
export interface Response {
  id: string;
  number: number;
  reply: Reply;
  isDone: boolean;
  item?: Item;
}
