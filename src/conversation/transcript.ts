import type { Entry } from '../contract.ts';
import { audioMs } from '../wire/audio.ts';
import type { ServerEvent } from '../wire/openai.ts';

/**
 * Its text, whole unless more of it `isToCome`, and how long its audio is; `heardMs` of that if the caller stopped hearing it.
 * `secret` is what the model knows instead of `text`, which is for the record: nothing of a turn that it hears once more.
 */
interface Item {
  who: Entry['who'];
  text: string;
  isToCome: boolean;
  ms: number;
  heardMs?: number;
  secret?: string;
}

/** How much is kept: so many items, and so many characters of all of them, which take 1 MiB at most. */
const MAX_ITEMS = 2_000;
const MAX_CHARACTERS = 512 * 1024;
const MAX_NEWEST = 8_000;

/** Also finds the words of languages that write no spaces, whatever its locale. */
const WORDS = new Intl.Segmenter('en', { granularity: 'word' });

/** What was said, in the order of the conversation: it listens only, and no decision reads it. */
export class Transcript {
  /** The oldest first. */
  readonly #items = new Map<string, Item>();
  /** Those that were added, in the order of the conversation. */
  #order: Item[] = [];
  /** The item that the present session begins behind, if it isn't the first. */
  #lastBefore: Item | undefined;
  #characters = 0;
  #keys = 0;
  /** The caller's turns that no reply has answered. */
  readonly #unanswered = new Set<string>();

  /** Whether all that the caller said is written down, if anything is. */
  get isWritten(): boolean {
    return ![...this.#items.values()].some(({ who, isToCome }) => who === 'caller' && isToCome);
  }

  listen(event: ServerEvent): void {
    switch (event.type) {
      case 'conversation.item.added': {
        const { id, role, text } = event.item;
        // Text items are those that were sent: nobody said them.
        if (role === 'system' || text !== undefined) return;
        if (role === 'user') this.#unanswered.add(id);
        return this.added(id, role === 'user' ? 'caller' : 'assistant', event.previous_item_id);
      }
      case 'response.output_audio.delta':
        this.#item(event.item_id, 'assistant').ms += audioMs(event.delta);
        return;
      case 'response.output_audio_transcript.delta':
        return this.said(event.item_id, event.delta);
      case 'response.output_audio_transcript.done':
        return this.text(event.item_id, 'assistant', event.transcript);
      case 'caller transcribed':
        if (event.transcript !== '') this.#forgetRepeated();
        return this.text(event.item_id, 'caller', event.transcript);
    }
  }

  /** A reply is heard, or the model has chosen to say nothing. */
  answered(): void {
    this.#unanswered.clear();
  }

  /** The caller pressed keys, which only the model is told; returns what. */
  keys(keys: string): string {
    this.#keys += 1;
    const id = `keys ${this.#keys}`;
    this.added(id, 'caller', undefined);
    this.text(id, 'caller', `(pressed ${keys.length} ${keys.length === 1 ? 'key' : 'keys'})`);
    const secret = `(The caller pressed ${[...keys].join(' ')} on the keypad.)`;
    this.#item(id, 'caller').secret = secret;
    return secret;
  }

  /** An item joined for good behind another one: null is the session's beginning, an unknown one the end. */
  added(itemId: string, who: Entry['who'], previousItemId: string | null | undefined): void {
    const previous = previousItemId === null ? this.#lastBefore : this.#items.get(previousItemId ?? '');
    const item = this.#item(itemId, who);
    if (this.#order.includes(item)) return;
    if (who === 'caller' && item.text === '') item.isToCome = true;
    const index = previous === undefined ? -1 : this.#order.indexOf(previous);
    const isAtEnd = index === -1 && previousItemId !== null;
    this.#order.splice(isAtEnd ? this.#order.length : index + 1, 0, item);
  }

  /** More of what the assistant says, which runs ahead of the audio. */
  said(itemId: string, delta: string): void {
    const item = this.#item(itemId, 'assistant');
    item.isToCome = true;
    this.#write(item, item.text + delta);
  }

  /** The whole text of an item, which replaces what was gathered; it may come before the item is added. */
  text(itemId: string, who: Entry['who'], text: string): void {
    const item = this.#item(itemId, who);
    item.isToCome = false;
    this.#write(item, text);
  }

  /** Only so much of an item's audio was heard: as much of its text is kept, even of what comes later. */
  cut(itemId: string, heardMs: number): void {
    this.#item(itemId, 'assistant').heardMs = heardMs;
  }

  /**
   * The session is gone: items of the next one come after those so far. If the caller's latest turn `isRepeated`, as its audio
   * is sent once more, it will be written down anew.
   */
  sessionLost(isRepeated: boolean): void {
    for (const item of this.#items.values()) {
      // Its text ran ahead of its sound, the rest of which won't come.
      if (item.isToCome && item.who === 'assistant') item.heardMs ??= item.ms;
      item.isToCome = false;
    }
    if (isRepeated) for (const id of this.#unanswered) this.#item(id, 'caller').secret = '';
    this.#order = this.#all();
    this.#lastBefore = this.#order.at(-1);
  }

  /** The newest 8,000 characters of what was heard so far, as the model is told. */
  newest(): Entry[] {
    const newest: Entry[] = [];
    let characters = 0;
    for (const entry of this.#heard(({ secret, text }) => secret ?? text).reverse()) {
      characters += entry.text.length;
      if (characters > MAX_NEWEST) break;
      newest.unshift(entry);
    }
    return newest;
  }

  /** What was heard so far, leaving out items without text; those that were never added are at the end. */
  entries(): Entry[] {
    return this.#heard(({ text }) => text);
  }

  #heard(textOf: (item: Item) => string): Entry[] {
    const entries = this.#all().map((item) => ({
      who: item.who,
      text: (shareOf(item) === 1 ? textOf(item) : beginning(item.text, shareOf(item))).trim(),
      cut: item.heardMs !== undefined,
    }));
    return entries.filter(({ text }) => text !== '');
  }

  /** The caller's turn that was repeated is written down anew. */
  #forgetRepeated(): void {
    for (const [id, item] of this.#items) if (item.secret === '') this.#delete(id, item);
  }

  #all(): Item[] {
    return [...new Set([...this.#order, ...this.#items.values()])];
  }

  #item(id: string, who: Entry['who']): Item {
    const item = this.#items.get(id) ?? { who, text: '', isToCome: false, ms: 0 };
    this.#items.set(id, item);
    this.#forget();
    return item;
  }

  #write(item: Item, text: string): void {
    const kept = text.slice(0, MAX_CHARACTERS);
    this.#characters += kept.length - item.text.length;
    item.text = kept;
    this.#forget();
  }

  /** Keeps to the limits. */
  #forget(): void {
    for (const [id, oldest] of this.#items) {
      if (this.#items.size <= MAX_ITEMS && this.#characters <= MAX_CHARACTERS) return;
      this.#delete(id, oldest);
    }
  }

  #delete(id: string, item: Item): void {
    this.#items.delete(id);
    this.#unanswered.delete(id);
    this.#order = this.#order.filter((each) => each !== item);
    this.#characters -= item.text.length;
  }
}

/** How much of an item was heard, from 0 to 1. What had no sound was not. */
function shareOf({ who, ms, heardMs = ms }: Item): number {
  if (who === 'caller') return 1;
  return ms > 0 ? heardMs / ms : 0;
}

/** The words of a text that end within so much of it. */
function beginning(text: string, share: number): string {
  const end = Math.floor(text.length * share);
  return text.slice(0, WORDS.segment(text).containing(end)?.index);
}
