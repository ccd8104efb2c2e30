import { expect, it } from 'vitest';
import { Conversation } from '../../src/conversation/conversation.ts';
import type { Effect } from '../../src/conversation/effect.ts';
import { seeded } from '../support/random.ts';
import { repeat } from '../support/rounds.ts';
import {
  audio,
  created,
  delta,
  done,
  echo,
  expected,
  frame,
  STREAM,
  speechStarted,
  speechStopped,
} from '../support/wire.ts';
import { FarEnd } from './far-end.ts';

const { mark, media } = expected;

function conversation(seed: number): void {
  const random = seeded(seed);
  const upTo = (most: number) => Math.floor(random() * (most + 1));
  const farEnd = new FarEnd(upTo(60));
  const call = new Conversation(1_000, [], { greets: false }, 0);
  call.sessionReady(0);
  call.streamStarted(STREAM, 0);
  const interrupted: string[] = [];
  const forMarks: Effect[] = [];
  let now = 0;
  let muted = false;
  let responses = 0;
  let marks = 0;
  let response: string | undefined;

  function pass(ms: number): void {
    for (const until = now + ms; now < until; ) {
      now = Math.min(until, now + 20 - (now % 20), Math.max(now, farEnd.nextAt));
      if (!muted && now % 20 === 0) call.fromTwilio(frame(now), now);
      for (const name of farEnd.echoes(now)) forMarks.push(...call.fromTwilio(echo(name), now));
    }
  }

  function say(id: string, item: string, ms: number): Effect[] {
    return call.fromOpenAI(delta(id, item, ms), now);
  }

  /** One of the three items of a response, which take turns in any order. */
  const itemOf = (id: string) => `${id}-${upTo(2)}`;

  for (let step = 0; step < 40; step++) {
    switch (upTo(8)) {
      case 0:
        muted = !muted;
        break;
      case 1:
        if (response !== undefined) call.fromOpenAI(done(response), now);
        responses += 1;
        response = `response-${responses}`;
        call.fromOpenAI(created(response), now);
        break;
      case 2:
        if (response !== undefined) call.fromOpenAI(done(response), now);
        response = undefined;
        break;
      case 3: {
        const late = interrupted[upTo(interrupted.length - 1)];
        if (late === undefined) break;
        const item = itemOf(late);
        expect(say(late, item, 100)).toEqual(farEnd.drop(item));
        break;
      }
      case 4:
        expect(call.fromOpenAI(speechStarted, now)).toEqual(farEnd.interrupt(now));
        if (response !== undefined) interrupted.push(response);
        response = undefined;
        call.fromOpenAI(speechStopped, now);
        break;
      case 5:
        if (random() < 0.5) break;
        call.sessionLost(random() < 0.5, now);
        farEnd.lose();
        interrupted.length = 0;
        response = undefined;
        pass(upTo(1_000));
        call.sessionReady(now);
        break;
      default:
        if (response !== undefined) {
          const ms = 20 * (1 + upTo(20));
          marks += 1;
          const name = `audio-${marks}`;
          const item = itemOf(response);
          expect(say(response, item, ms)).toEqual([media(audio(ms)), mark(name)]);
          farEnd.play(item, ms, name, now);
        }
    }
    pass(random() < 0.3 ? 0 : upTo(400));
  }
  expect(forMarks).toEqual([]);
}

it('Random conversations whose sessions are lost keep to the playback rules', { timeout: 600_000 }, () => {
  repeat(10_000, conversation);
});
