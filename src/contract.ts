// What an assistant can be told, and what it is told: the types behind `assistant.ts`, and the two endings of a call.

import { isE164 } from './wire/json.ts';

export { say } from './wire/twiml.ts';

/** A call, as Twilio tells of it. */
export interface CallInfo {
  readonly sid: string;
  readonly direction: 'inbound' | 'outbound';
  /** The caller's number in E.164; undefined if it is withheld or no number. */
  readonly from?: string;
  /** The number that was called, in E.164. */
  readonly to?: string;
  /** What the webhook's own address has behind its `?`: `{ shop: '7' }` for `/incoming-call?shop=7`. */
  readonly query: Readonly<Record<string, string>>;
  /** Aborted when the call is over, or turned away; a tool's own when it takes too long, too. */
  readonly signal: AbortSignal;
}

/** Something that the model may call: https://platform.openai.com/docs/guides/realtime-conversations#function-calling */
export interface Tool {
  name: string;
  /** What it does and when to call it. Say there, too, that the assistant should say a short sentence before. */
  description: string;
  /** JSON Schema of the arguments; none: the tool takes none. The model may not keep to it: check what you get. */
  parameters?: object | undefined;
  /** After so many ms it is aborted, the model is told that it failed, and a late result is dropped; 10,000 by default. */
  timeoutMs?: number | undefined;
  /**
   * Returns, or resolves to, any JSON value or nothing, which the model is told; or an Ending, which follows once the
   * caller has heard what is being said. Whatever it throws is logged, and the model is told that it failed.
   */
  run(args: Record<string, unknown>, call: CallInfo): unknown;
}

/** How a tool ends the call: made by `hangUp` and `putThrough`. */
export class Ending {
  /** Whom the caller is put through to; undefined to hang up. */
  readonly to: string | undefined;
  readonly callerId: string | undefined;

  constructor(to?: string, callerId?: string) {
    this.to = to;
    this.callerId = callerId;
  }
}

/** Has the assistant say goodbye, be heard, and hang up. */
export function hangUp(): Ending {
  return new Ending();
}

const SIP_ADDRESS = /^sip:[^\s<>"']{1,200}$/;

/**
 * Has the assistant say that it puts the caller through, be heard, and Twilio dial `to`: a number in E.164 or a `sip:`
 * address, yours, never one that the model or the caller names. Whoever is dialled sees the `callerId`, a number of yours;
 * by default the caller's number, or else the one that was called. Throws an Error for anything else.
 */
export function putThrough(to: string, { callerId }: { callerId?: string | undefined } = {}): Ending {
  if (!isE164(to) && !SIP_ADDRESS.test(to)) {
    throw new Error('putThrough takes a number such as +14155550100, or a sip: address');
  }
  if (callerId !== undefined && !isE164(callerId)) throw new Error('putThrough takes a callerId in E.164');
  return new Ending(to, callerId);
}

/** Goes by loudness: https://platform.openai.com/docs/guides/realtime-vad#server-vad */
export interface ServerVad {
  type: 'server_vad';
  /** How loud counts as speech, 0 to 1; raise it for noisy lines. */
  threshold: number;
  /** How much audio from before the first loud sound belongs to the turn, in ms. */
  prefix_padding_ms: number;
  /** How long the caller must pause before the assistant answers, in ms. */
  silence_duration_ms: number;
  /** After so many ms without a word from the caller the assistant asks whether anybody is there. */
  idle_timeout_ms?: number | undefined;
}

/** Goes by what was said: https://platform.openai.com/docs/guides/realtime-vad#semantic-vad */
export interface SemanticVad {
  type: 'semantic_vad';
  /** How soon to answer: waits at most 8 s (low), 4 s (medium and auto) or 2 s (high). */
  eagerness: 'low' | 'medium' | 'high' | 'auto';
}

/** Who answers, but for what is asked and told by functions. */
export interface Persona {
  /** What the model is told about itself and its task, for the whole call. */
  instructions: string;
  /** One of OpenAI's voices, of which it recommends `marin` and `cedar`, or a custom one's id. */
  voice:
    | ('alloy' | 'ash' | 'ballad' | 'cedar' | 'coral' | 'echo' | 'marin' | 'sage' | 'shimmer' | 'verse')
    | { id: string };
  /** How to open the call, as an instruction to the model; empty if the caller should speak first. */
  greeting: string;
  /** What the caller is told before the end where something failed: by Twilio, or by the assistant if the server stops. */
  apology: string;
  /** What the assistant says, or else Twilio, before the end where the call has lasted MAX_CALL_SECONDS. */
  timeIsUp: string;
  /** What Twilio says to the caller before it hangs up, where nobody took a call that was put through. */
  nobodyAnswered: string;
  /** How Twilio says these sentences: `{ language: 'de-DE', voice: 'Polly.Vicki' }`. */
  say?: { language: string; voice?: string | undefined } | undefined;
  /** When OpenAI takes it that the caller has begun and finished speaking. */
  turnDetection: ServerVad | SemanticVad;
  tools?: Tool[] | undefined;
  /** Has the caller's words written down, for `ended`: `{ model: 'gpt-transcribe' }`. They are billed apart. */
  transcription?: { model: string; language?: string | undefined } | undefined;
  /** TwiML before the stream: a notice in `<Say>` of 10 s at most, or `<Start><Recording/></Start>`. */
  twiml?: string | undefined;
  /** What the caller's line sounds like: a handset (`near_field`) or a loudspeaker (`far_field`). */
  noiseReduction?: 'near_field' | 'far_field' | undefined;
  /** How fast it speaks, 0.25 to 1.5. */
  speed?: number | undefined;
  /** How long a reply may be, in tokens, 1 to 4096; 50 ms of audio are one. */
  maxOutputTokens?: number | undefined;
  /** How much models of the 2.x kind think before they speak; others refuse the session if it is set. */
  reasoningEffort?: 'minimal' | 'low' | 'medium' | 'high' | 'xhigh' | undefined;
  /** How much of a long conversation is kept when it has to be cut, 0 to 1. */
  retentionRatio?: number | undefined;
}

/** What differs for one call; `about` tells the model about this caller. */
export type Override = { [Name in keyof Persona]?: Persona[Name] | undefined } & {
  about?: string | undefined;
};

/** What `answer` returns; as its declared return type, it has `tsc` find typos. */
export type Answer = Override | 'busy' | undefined;

/** What was said by one side in one go; `cut` where the caller stopped hearing it. */
export interface Entry {
  who: 'caller' | 'assistant';
  text: string;
  cut: boolean;
}

/** The tokens of a call, in the six kinds that have a price of their own; transcription is billed by seconds or by tokens. */
export interface Usage {
  textIn: number;
  cachedTextIn: number;
  audioIn: number;
  cachedAudioIn: number;
  textOut: number;
  audioOut: number;
  transcriptionSeconds: number;
  transcriptionTokensIn: number;
  transcriptionTokensOut: number;
}

/** A tool that was called, how long it took, and whether it returned in time. */
export interface ToolCall {
  name: string;
  ms: number;
  ok: boolean;
}

/** A call that is over. */
export interface Report extends CallInfo {
  startedAt: Date;
  outcome: 'completed' | 'failed' | 'time limit' | 'hung up' | 'put through';
  /** Whom the caller was put through to. How that went is in the log: `transfer ended`. */
  putThrough?: string;
  tools: ToolCall[];
  /** As in the log. */
  reason: string;
  /** From the webhook, where this process answered it, or from the stream's start. */
  seconds: number;
  usage: Usage;
  /** As heard; the caller's words only where `transcription` is set. */
  transcript: Entry[];
}

export interface Assistant extends Persona {
  /** Asked while it rings, for 1 s at most: what differs for this call; 'busy' turns it away. */
  answer?(call: CallInfo): Answer | Promise<Answer>;
  /** Called after every call, also if the caller hung up as it rang. A process that stops waits 5 s for it. */
  ended?(report: Report): void | Promise<void>;
}
