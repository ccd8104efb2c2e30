import { beforeEach, describe, expect, it } from 'vitest';
import type { Entry } from '../../src/contract.ts';
import { Transcript } from '../../src/conversation/transcript.ts';
import { delta } from '../support/wire.ts';

let transcript: Transcript;
beforeEach(() => {
  transcript = new Transcript();
});

function caller(text: string): Entry {
  return { who: 'caller', text, cut: false };
}

function assistant(text: string): Entry {
  return { who: 'assistant', text, cut: false };
}

/** An item that joins with its text. */
function added(itemId: string, previousItemId: string | null | undefined): void {
  transcript.added(itemId, 'caller', previousItemId);
  transcript.text(itemId, 'caller', itemId);
}

/** Audio of the assistant's. */
function sound(itemId: string, ms = 1_000): void {
  transcript.listen(delta('r', itemId, ms));
}

/** The assistant's words, and their audio. */
function spoken(itemId: string, text: string, ms = 1_000): void {
  sound(itemId, ms);
  transcript.text(itemId, 'assistant', text);
}

function texts(): string[] {
  return transcript.entries().map(({ text }) => text);
}

describe('the order of the conversation', () => {
  it('What the caller said is before the reply, however late its text comes', () => {
    transcript.added('question', 'caller', null);
    transcript.added('answer', 'assistant', 'question');
    spoken('answer', 'At nine.');
    transcript.text('question', 'caller', 'When do you open?');
    expect(transcript.entries()).toEqual([caller('When do you open?'), assistant('At nine.')]);
  });

  it('An item that is added behind an earlier one comes before what followed that', () => {
    added('a', null);
    added('b', 'a');
    added('c', 'a');
    expect(texts()).toEqual(['a', 'c', 'b']);
  });

  it('An item that is added behind none is the first', () => {
    added('a', null);
    added('b', null);
    expect(texts()).toEqual(['b', 'a']);
  });

  it.each([undefined, 'a tool output', 'c'])('An item that is added behind %s is the last', (previous) => {
    added('a', null);
    added('b', 'a');
    added('c', previous);
    expect(texts()).toEqual(['a', 'b', 'c']);
  });

  it('An item that is added again stays where it is', () => {
    added('a', null);
    added('b', 'a');
    added('b', null);
    expect(texts()).toEqual(['a', 'b']);
  });

  it('A text that comes early gets its place when its item is added', () => {
    added('a', null);
    transcript.text('c', 'caller', 'c');
    added('b', 'a');
    expect(texts()).toEqual(['a', 'b', 'c']);
    added('c', 'a');
    expect(texts()).toEqual(['a', 'c', 'b']);
  });

  it('What a new session begins with comes behind all that was said before', () => {
    added('a', null);
    transcript.text('b', 'caller', 'b');
    transcript.sessionLost(false);
    added('d', null);
    added('c', null);
    expect(texts()).toEqual(['a', 'b', 'c', 'd']);
  });
});

describe('what was said', () => {
  it('What the assistant says is gathered, then replaced by the whole of it', () => {
    sound('answer');
    transcript.said('answer', 'At');
    transcript.said('answer', ' nin');
    expect(texts()).toEqual(['At nin']);
    spoken('answer', 'At nine.');
    expect(transcript.entries()).toEqual([assistant('At nine.')]);
  });

  it.each(['', ' \n'])('A turn in which nothing was understood (%j) is left out', (text) => {
    added('a', null);
    transcript.text('a', 'caller', text);
    expect(transcript.entries()).toEqual([]);
  });

  it('The space around a text is not part of it', () => {
    transcript.text('question', 'caller', ' Hello. ');
    expect(texts()).toEqual(['Hello.']);
  });
});

describe('what the caller heard of it', () => {
  it.each([
    ['We open at nine', 0.999, 'We open at'],
    ['We open at nine', 11 / 15, 'We open at'],
    ['We open at nine', 10 / 15, 'We open at'],
    ['We open at nine', 9 / 15, 'We open'],
    ['It costs 3.50 today', 11 / 19, 'It costs'],
    ['Ask 👩‍🚒 Ada', 6 / 13, 'Ask'],
    ['我们今天下午见面', 5 / 8, '我们今天'],
  ])('Of "%s", the whole words in %f were heard', (text, share, heard) => {
    spoken('answer', text, 1e4);
    transcript.cut('answer', share * 1e4);
    expect(transcript.entries()).toEqual([{ who: 'assistant', text: heard, cut: true }]);
  });

  it('An item that is cut at its end is whole, and marked as cut', () => {
    spoken('answer', 'At nine.', 800);
    transcript.cut('answer', 800);
    expect(transcript.entries()).toEqual([{ who: 'assistant', text: 'At nine.', cut: true }]);
  });

  it.each([1000, 0])('An item of %i ms of which nothing was heard is left out', (ms) => {
    transcript.said('answer', 'At nine.');
    sound('answer', ms);
    transcript.cut('answer', 0);
    transcript.text('answer', 'assistant', 'At nine.');
    expect(transcript.entries()).toEqual([]);
  });

  it('An item that comes without a sound is left out', () => {
    transcript.said('answer', 'At nine.');
    expect(transcript.entries()).toEqual([]);
  });

  it('Audio that comes after the cut was not heard either', () => {
    sound('answer', 1_000);
    transcript.cut('answer', 500);
    spoken('answer', 'one two three four five six seven eight', 3_000);
    expect(texts()).toEqual(['one']);
  });

  it('Text that comes after the cut is cut in the same proportion', () => {
    sound('answer', 1_000);
    transcript.cut('answer', 500);
    transcript.said('answer', 'We open at');
    expect(texts()).toEqual(['We']);
    transcript.text('answer', 'assistant', 'We open at nine and close at five.');
    expect(texts()).toEqual(['We open at nine']);
  });

  it('A recorded barge-in reads as it was heard', () => {
    transcript.added('question', 'caller', null);
    transcript.added('reply', 'assistant', 'question');
    for (const delta of ['Olá', ',', ' Marcelo', '!', ' É', ' um', ' prazer'])
      transcript.said('reply', delta);
    sound('reply', 1_050);
    transcript.cut('reply', 600);
    transcript.text('reply', 'assistant', 'Olá, Marcelo! É um prazer');
    transcript.added('interruption', 'caller', 'reply');
    transcript.text('question', 'caller', 'Hello, my name is Marcelo.');
    transcript.added('second reply', 'assistant', 'interruption');
    transcript.said('second reply', 'Oi');
    transcript.text('interruption', 'caller', 'Hello, my name is Marcelo.');
    spoken('second reply', 'Oi, Marcelo!');
    expect(transcript.entries()).toEqual([
      caller('Hello, my name is Marcelo.'),
      { who: 'assistant', text: 'Olá, Marcelo!', cut: true },
      caller('Hello, my name is Marcelo.'),
      assistant('Oi, Marcelo!'),
    ]);
  });
});

describe('keys', () => {
  it('are counted in the record, and told to the model alone', () => {
    expect(transcript.keys('1#')).toBe('(The caller pressed 1 # on the keypad.)');
    expect(transcript.keys('2')).toContain('2');
    expect(texts()).toEqual(['(pressed 2 keys)', '(pressed 1 key)']);
    expect(transcript.newest().map(({ text }) => text)).toEqual([
      '(The caller pressed 1 # on the keypad.)',
      '(The caller pressed 2 on the keypad.)',
    ]);
  });
});

describe('a call without end', () => {
  it('The last 2,000 items are kept', () => {
    for (let item = 1; item <= 2_001; item += 1) added(`${item}`, item === 1 ? null : `${item - 1}`);
    expect(texts()).toHaveLength(2_000);
    expect(texts()[0]).toBe('2');
  });

  it('Items whose text never comes make room, too', () => {
    added('a', null);
    for (let item = 1; item <= 2_000; item += 1) transcript.added(`${item}`, 'assistant', undefined);
    expect(texts()).toEqual([]);
  });

  it('The oldest go when all of the texts take more than 1 MiB', () => {
    const half = 256 * 1024;
    transcript.text('a', 'caller', 'a'.repeat(half));
    transcript.text('b', 'caller', 'b'.repeat(half));
    expect(texts()).toHaveLength(2);
    sound('c');
    transcript.said('c', 'c');
    expect(texts()).toEqual(['b'.repeat(half), 'c']);
    transcript.text('d', 'caller', 'd'.repeat(half - 1));
    expect(texts()).toHaveLength(3);
  });

  it('A text that is replaced makes room for others', () => {
    const most = 'a'.repeat(500 * 1024);
    transcript.text('a', 'caller', most);
    transcript.text('a', 'caller', 'Hello.');
    transcript.text('b', 'caller', most);
    expect(texts()).toEqual(['Hello.', most]);
  });

  it('Of one text, 1 MiB is kept', () => {
    transcript.text('a', 'caller', 'a'.repeat(2 * 1024 * 1024));
    expect(texts()).toEqual(['a'.repeat(512 * 1024)]);
  });

  it('An item is forgotten wherever in the conversation it is', () => {
    added('a', null);
    for (let item = 1; item <= 2_000; item += 1) added(`${item}`, null);
    expect(texts()).toHaveLength(2_000);
    expect(texts()).not.toContain('a');
  });
});
