import { beforeEach, describe, expect, it } from 'vitest';
import { Conversation } from '../../src/conversation/conversation.ts';
import { SAY_GOODBYE } from '../../src/conversation/farewell.ts';
import { NO_USAGE } from '../../src/wire/openai.ts';
import {
  audio,
  created,
  delta,
  done,
  expected,
  frame,
  functionCall,
  STREAM,
  speechStarted,
  speechStopped,
  timedOut,
} from '../support/wire.ts';
import { inCall, readyCall, TOOLS } from './ready-call.ts';

const { clear, end, mark, media, respond, run, text, truncate } = expected;

let call: Conversation;
beforeEach(() => {
  call = readyCall();
});

const { take, tick } = inCall(() => call);

describe('A conversation before its stream', () => {
  const ABOUT = text('system', 'What is known of this caller, as data: "Known as Ann."');

  beforeEach(() => {
    call = new Conversation(1_000, TOOLS, { greets: true, about: 'Known as Ann.' }, 0);
  });

  it('tells the model about the caller, then asks for the greeting', () => {
    expect(call.sessionReady(0)).toEqual([ABOUT, respond]);
  });

  it('keeps what the assistant says, and plays it when the stream starts', () => {
    call.sessionReady(0);
    expect(take(500, created('r1'), delta('r1', 'a', 400), delta('r1', 'a', 600))).toEqual([]);
    expect(tick(2_000)).toEqual([]);
    expect(call.streamStarted(STREAM, 3_000)).toEqual([
      media(audio(400)),
      mark('audio-1'),
      media(audio(600)),
      mark('audio-2'),
    ]);
    call.fromTwilio(frame(0), 3_100);
    expect(take(3_300, speechStarted)).toEqual([clear, truncate('a', 300)]);
  });

  it.each([40, 400])('goes on after a greeting that is too long to be kept, in deltas of %i ms', (ms) => {
    call.sessionReady(0);
    take(500, created('r1'));
    for (let at = 0; at < 250_000; at += ms) take(600, delta('r1', 'a', ms));
    take(700, done('r1'));
    const played = call.streamStarted(STREAM, 1_000).filter((effect) => 'to' in effect);
    expect(played.length).toBeGreaterThan(200);
    expect(JSON.stringify(played.map(({ message }) => message)).length).toBeLessThan(1_048_576);
    expect(call.tick(120_000)).toEqual([]);
  });

  it('counts no wait', () => {
    call.sessionReady(0);
    call.streamStarted(STREAM, 14_000);
    expect(tick(28_999)).toEqual([]);
    expect(tick(29_000)).toEqual([end('no reply')]);
  });

  it('counts what the session uses, once', () => {
    call.sessionReady(0);
    take(100, created('r1'), done('r1', { ...NO_USAGE, audioOut: 70 }));
    expect(call.tally.usage).toMatchObject({ audioOut: 70 });
    call.streamStarted(STREAM, 200);
    expect(call.tally.usage).toMatchObject({ audioOut: 70 });
  });

  it('runs no tool until the stream starts', () => {
    call.sessionReady(0);
    expect(take(500, created('r1'), functionCall('r1', 'c1', 'time'), done('r1'))).toEqual([]);
    expect(call.streamStarted(STREAM, 3_000)).toEqual([run('time', 'c1')]);
  });

  it('waits for nothing if the session is ready later', () => {
    call.streamStarted(STREAM, 100);
    expect(call.sessionReady(200)).toEqual([ABOUT, respond]);
    expect(take(300, created('r1'), delta('r1', 'a', 400))).toEqual([media(audio(400)), mark('audio-1')]);
  });

  it('asks for nothing before it has caught up', () => {
    call.sessionReady(0);
    take(500, created('r1'), functionCall('r1', 'c1', 'nonsense'), done('r1'));
    take(600, speechStarted, speechStopped, created('r2'));
    expect(call.streamStarted(STREAM, 3_000)).not.toContainEqual(respond);
  });

  it('leaves out questions that OpenAI asked meanwhile', () => {
    call.sessionReady(0);
    take(500, created('r1'), delta('r1', 'a', 2_000), done('r1'));
    for (const id of ['q1', 'q2', 'q3', 'q4']) {
      take(8_000, timedOut, created(id), delta(id, `a-${id}`, 400), done(id));
    }
    const effects = call.streamStarted(STREAM, 25_000);
    expect(effects.filter((effect) => 'to' in effect && effect.to === 'twilio')).toEqual([
      media(audio(2_000)),
      mark('audio-1'),
    ]);
    expect(effects).toContainEqual(truncate('a-q4', 0));
    expect(effects).not.toContainEqual(text('system', SAY_GOODBYE));
  });

  it('forgets what a lost session has said', () => {
    call.sessionReady(0);
    take(500, created('r1'), delta('r1', 'a', 400));
    call.sessionLost(false, 1_000);
    expect(call.streamStarted(STREAM, 3_000)).toEqual([]);
  });
});
