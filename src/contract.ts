// The types behind `assistant.ts`, and the two endings of a call.

import { isE164 } from './wire/json.ts';

export { say } from './wire/twiml.ts';

/** A call, from Twilio's webhook. */
export interface CallInfo {
  readonly sid: string;
  readonly direction: 'inbound' | 'outbound';
  /** The caller's number in E.164; undefined if it is withheld, or no number. On an outbound call, it is yours. */
  readonly from?: string;
  /** The number that was called, in E.164. On an outbound call, it is theirs. */
  readonly to?: string;
  /** The query of the webhook's address in Twilio's console: `{ shop: '7' }` for `/incoming-call?shop=7`. */
  readonly query: Readonly<Record<string, string>>;
  /** Aborted when the call is over, or turned away; a tool's own when it takes too long, too. */
  readonly signal: AbortSignal;
}

/** A function that the model may call: https://platform.openai.com/docs/guides/realtime-conversations#function-calling */
export interface Tool {
  name: string;
  /** What it does and when to call it. Add that the assistant says a short sentence first, if it takes a second. */
  description: string;
  /** JSON Schema of the arguments; by default there are none. The model may ignore it: check the arguments. */
  parameters?: object | undefined;
  /** After so many ms it is aborted, the model is told that it failed, and a late result is dropped; 10,000 by default. */
  timeoutMs?: number | undefined;
  /**
   * Returns, or resolves to, any JSON value or nothing, for the model; or an Ending, which follows once the caller has heard
   * what is being said. An exception is logged, its message included, and the model is told that the tool failed.
   */
  run(args: Record<string, unknown>, call: CallInfo): unknown;
}

/** How a tool ends the call; see `hangUp` and `putThrough`. */
export class Ending {
  /** The number or address to dial; undefined to hang up. */
  readonly to: string | undefined;
  readonly callerId: string | undefined;

  constructor(to?: string, callerId?: string) {
    this.to = to;
    this.callerId = callerId;
  }
}

/** Has the assistant say goodbye, and hangs up once that was heard. */
export function hangUp(): Ending {
  return new Ending();
}

const SIP_ADDRESS = /^sip:[^\s<>"']{1,200}$/;

/**
 * Has the assistant say that it puts the caller through, and Twilio dial `to` once that was heard.
 *
 * `to` is a number in E.164 or a `sip:` address of yours, never one that the model or the caller names. `callerId` is a number
 * of yours; by default the caller's number, or else the one that was called. Throws an Error if either is invalid.
 */
export function putThrough(to: string, { callerId }: { callerId?: string | undefined } = {}): Ending {
  if (!isE164(to) && !SIP_ADDRESS.test(to)) {
    throw new Error('putThrough takes a number such as +14155550100, or a sip: address');
  }
  if (callerId !== undefined && !isE164(callerId)) throw new Error('putThrough takes a callerId in E.164');
  return new Ending(to, callerId);
}

/** Detects speech by loudness: https://platform.openai.com/docs/guides/realtime-vad#server-vad */
export interface ServerVad {
  type: 'server_vad';
  /** How loud counts as speech, 0 to 1; raise it for noisy lines. */
  threshold: number;
  /** Audio before the first loud sound that belongs to the turn, in ms. */
  prefix_padding_ms: number;
  /** Pause of the caller before the assistant answers, in ms. */
  silence_duration_ms: number;
  /** Silence of the caller before the assistant asks whether anybody is there, in ms; after three questions, the call ends. */
  idle_timeout_ms?: number | undefined;
}

/** Detects the end of speech by what was said: https://platform.openai.com/docs/guides/realtime-vad#semantic-vad */
export interface SemanticVad {
  type: 'semantic_vad';
  /** The longest pause before an answer: 8 s (low), 4 s (medium and auto) or 2 s (high). */
  eagerness: 'low' | 'medium' | 'high' | 'auto';
}

/** The assistant's settings, without its hooks. */
export interface Persona {
  /** The model's persona and task, for the whole call. */
  instructions: string;
  /** One of OpenAI's voices, of which it recommends `marin` and `cedar`, or a custom one's id. */
  voice:
    | ('alloy' | 'ash' | 'ballad' | 'cedar' | 'coral' | 'echo' | 'marin' | 'sage' | 'shimmer' | 'verse')
    | { id: string };
  /** How to open the call, as an instruction; empty if the caller speaks first. */
  greeting: string;
  /** Said before a call ends by a failure: by Twilio, or by the assistant if the server stops. */
  apology: string;
  /** Said by the assistant, or else by Twilio, when the call has lasted MAX_CALL_SECONDS. */
  timeIsUp: string;
  /** Said by Twilio if nobody answers a put-through. */
  nobodyAnswered: string;
  /** Language and voice of Twilio's sentences: `{ language: 'de-DE', voice: 'Polly.Vicki' }`. */
  say?: { language: string; voice?: string | undefined } | undefined;
  /** How OpenAI detects the start and end of the caller's speech. */
  turnDetection: ServerVad | SemanticVad;
  tools?: Tool[] | undefined;
  /** Transcription of the caller's words, for `ended`, billed apart: `{ model: 'gpt-transcribe' }`. */
  transcription?: { model: string; language?: string | undefined } | undefined;
  /** TwiML verbs before the stream: a notice of 10 s at most, made by `say`, or `<Start><Recording/></Start>`. */
  twiml?: string | undefined;
  /** Noise reduction for a handset (`near_field`) or a loudspeaker (`far_field`). */
  noiseReduction?: 'near_field' | 'far_field' | undefined;
  /** Pace of the voice, 0.25 to 1.5. */
  speed?: number | undefined;
  /** The longest reply in tokens, 1 to 4096; one is 50 ms of audio. */
  maxOutputTokens?: number | undefined;
  /** For 2.x models only: others reject the session. */
  reasoningEffort?: 'minimal' | 'low' | 'medium' | 'high' | 'xhigh' | undefined;
  /** The share of a long conversation that is kept when it is cut, 0 to 1. */
  retentionRatio?: number | undefined;
}

/** Settings for one call; `about` is what the model is told about the caller. */
export type Override = { [Name in keyof Persona]?: Persona[Name] | undefined } & {
  about?: string | undefined;
};

/** What `answer` returns; as its declared return type, it has `tsc` find typos. */
export type Answer = Override | 'busy' | undefined;

/** One side's words; `cut` if the caller stopped hearing them. */
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
  /** The number or address that was dialled; the log has `transfer ended` with the result. */
  putThrough?: string;
  tools: ToolCall[];
  /** As in the log. */
  reason: string;
  /** Duration, from the webhook if this process answered it, or from the stream's start. */
  seconds: number;
  usage: Usage;
  /** As heard; the caller's words only if `transcription` is set. */
  transcript: Entry[];
}

export interface Assistant extends Persona {
  /** Called while it rings, for 1 s at most: returns this call's settings, or 'busy' to reject it. */
  answer?(call: CallInfo): Answer | Promise<Answer>;
  /**
   * Called after every call, also if the caller hung up as it rang, but not while `answer` was asked; twice if it failed as it
   * rang, as its stream tries once more. A process that stops waits 5 s for it.
   */
  ended?(report: Report): void | Promise<void>;
}
