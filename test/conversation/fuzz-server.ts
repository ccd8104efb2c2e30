import { expect } from 'vitest';
import type { ClientEvent, NewItem, ServerEvent } from '../../src/wire/openai.ts';
import {
  cancelled,
  created,
  delta,
  done,
  empty,
  error,
  failed,
  functionCall,
  incomplete,
  itemAdded,
  outputAdded,
  said,
  speechStarted,
  speechStopped,
  timedOut,
  written,
} from '../support/wire.ts';

/** How a response ends. */
const OVER = { completed: done, cancelled, failed, incomplete, empty };

/** OpenAI's end of a call: who speaks when. It reads what it is sent later, and its events are read later. */
export class FuzzServer {
  /** Events on their way, in order. */
  readonly events: ServerEvent[] = [];
  /** Messages on their way to it, and the caller's turn in which each was sent. */
  readonly #inbox: { message: ClientEvent; turn: number; isHistory: boolean }[] = [];
  /** The response that is being generated, and how many there were. */
  active: string | undefined;
  responses = 0;
  /** Responses that turn detection made, and the caller's turn that each response answers. */
  readonly answers = new Set<string>();
  readonly turns = new Map<string, number>();
  /** Calls that wait for their output, and the caller's turn that each was made for. */
  readonly unanswered = new Map<string, number>();
  /** The caller's turn, by speech and by key; and the one that `Conversation` knows of. */
  turn = 0;
  knownTurn = 0;
  /** Whether an item was added that no response has seen. */
  isOwed = false;
  isSpeaking = false;
  /** What its ids, which may outlive it, begin with. */
  readonly #name: string;
  #items = 0;

  constructor(name = '') {
    this.#name = name;
  }

  /** Takes what is sent to it. */
  take(message: ClientEvent, isHistory: boolean): void {
    this.#inbox.push({ message, turn: this.knownTurn, isHistory });
  }

  /** Reads so many of the messages that were sent to it. */
  read(most: number): void {
    for (const { message, turn, isHistory } of this.#inbox.splice(0, most)) {
      switch (message.type) {
        case 'response.create':
          if (this.active === undefined) this.begin(turn);
          else this.events.push(error('conversation_already_has_active_response'));
          break;
        case 'response.cancel':
          if (this.active === message.response_id) this.finish('cancelled');
          else this.events.push(error('response_cancel_not_active'));
          break;
        case 'conversation.item.create':
          this.#add(message.item, turn, isHistory);
      }
    }
  }

  /** Begins a response for a turn of the caller's. */
  begin(turn = this.turn): string {
    this.responses += 1;
    this.active = `${this.#name}r${this.responses}`;
    // One that is made over the caller answers nothing.
    this.turns.set(this.active, this.isSpeaking ? -1 : turn);
    this.isOwed = false;
    this.events.push(created(this.active));
    return this.active;
  }

  finish(how: keyof typeof OVER = 'completed'): void {
    if (this.active === undefined) return;
    this.events.push(OVER[how](this.active));
    this.active = undefined;
  }

  /** A response of this turn has failed: it is owed once more, unless another has begun since. */
  broken(id: string): void {
    const isOver = this.active === undefined && this.events.every(({ type }) => type !== 'response.created');
    if (isOver && this.turns.get(id) === this.turn && this.knownTurn === this.turn) this.isOwed = true;
  }

  /** The model says something, or calls a tool. */
  say(ms: number): void {
    if (this.active === undefined) return;
    const item = `a-${this.active}`;
    this.events.push(
      itemAdded(item, { role: 'assistant' }),
      said(item, 'Well.'),
      delta(this.active, item, ms),
    );
  }
  call(name: string, json: string): void {
    if (this.active === undefined) return;
    const callId = `call-${this.#name}${this.#nextItem()}`;
    this.unanswered.set(callId, this.turns.get(this.active) ?? -1);
    this.events.push(functionCall(this.active, callId, name, json));
  }

  /** The caller speaks, which cancels what is being said; and has spoken, so that turn detection makes a response. */
  speechStarts(): void {
    this.isSpeaking = true;
    this.turn += 1;
    this.isOwed = false;
    this.events.push(speechStarted);
    this.finish('cancelled');
  }
  speechStops(): void {
    this.isSpeaking = false;
    const item = this.#nextItem();
    this.events.push(speechStopped, itemAdded(item, { role: 'user' }), written(item, 'Hm?'));
    // One that was asked for during the speech may be active still.
    this.finish('cancelled');
    this.answers.add(this.begin());
  }

  /** The caller is silent, and the assistant asks whether anybody is there. */
  timesOut(): void {
    if (this.isSpeaking || this.active !== undefined) return;
    const text = 'No user speech was detected.';
    this.events.push(timedOut, itemAdded(this.#nextItem(), { role: 'system', text }));
    this.events.push(itemAdded(this.#nextItem(), { role: 'user' }));
    this.begin();
  }

  #add(item: NewItem, sentIn: number, isHistory: boolean): void {
    let turn = sentIn;
    if (item.type === 'message') {
      const [{ text }] = item.content;
      this.events.push(itemAdded(this.#nextItem(), { role: item.role, text }));
      // The output of a lost session's tool isn't known to be for this turn.
      if (isHistory || item.role !== 'user' || !text.includes('pressed')) return;
    } else {
      // Each call is answered once.
      expect([...this.unanswered.keys()]).toContain(item.call_id);
      turn = this.unanswered.get(item.call_id) ?? -1;
      this.unanswered.delete(item.call_id);
      this.events.push(outputAdded(this.#nextItem()));
    }
    // A caller who has moved on since is owed nothing for it.
    if (turn === this.turn && this.knownTurn === this.turn) this.isOwed = true;
  }

  #nextItem(): string {
    this.#items += 1;
    return `item-${this.#name}${this.#items}`;
  }
}
