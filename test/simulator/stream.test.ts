import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type JsonObject, parseObject } from '../../src/wire/json.ts';
import { readCommand } from './command.ts';
import { type Moment, Stream, type StreamEvent, type StreamOptions } from './stream.ts';

const sids = { accountSid: 'AC1', callSid: 'CA1', streamSid: 'MZ1' };
const { streamSid } = sids;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const pass = (ms: number) => vi.advanceTimersByTime(ms);
const audio = (ms: number, byte = 1) => Buffer.alloc(8 * ms, byte);
const media = (sound: Uint8Array) => ({
  event: 'media',
  streamSid,
  media: { payload: Buffer.from(sound).toString('base64') },
});
const mark = (name: string) => ({ event: 'mark', streamSid, mark: { name } });
const clear = { event: 'clear', streamSid };

/** A stream that has begun, with its events and messages. */
function begin(options: Partial<StreamOptions> = {}) {
  const sent: JsonObject[] = [];
  const events: StreamEvent[] = [];
  const stream = new Stream(sids, { onEvent: (event) => events.push(event), ...options });
  stream.start({ token: 'secret' }, (text) => sent.push(parseObject(text) ?? {}));
  const of = (kind: string) => sent.filter(({ event }) => event === kind);
  return {
    ...{ stream, sent, events, of },
    receive: (...messages: object[]) => {
      for (const message of messages) stream.receive(JSON.stringify(message), false);
    },
    payloads: () => of('media').map((frame) => Buffer.from(Object(frame.media).payload, 'base64')),
    marks: () => of('mark').map((echo) => Object(echo.mark).name),
  };
}

/** A microphone whose frames are of a byte that counts up. */
function counter() {
  let frames = 0;
  return { pull: (frame: Uint8Array) => void frame.fill(++frames) };
}

describe('Stream', () => {
  it('begins with connected and start, which has the parameters', () => {
    const mediaFormat = { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 };
    const start = { ...sids, tracks: ['inbound'], mediaFormat, customParameters: { token: 'secret' } };
    expect(begin().sent).toEqual([
      { event: 'connected', protocol: 'Call', version: '1.0.0' },
      { event: 'start', sequenceNumber: '1', start, streamSid },
    ]);
  });

  it('sends a frame of silence every 20 ms, numbered and timed in strings', () => {
    const { of } = begin();
    pass(210);
    const payload = audio(20, 0xff).toString('base64');
    const frame = { track: 'inbound', chunk: '10', timestamp: '200', payload };
    expect(of('media')).toHaveLength(10);
    expect(of('media')[9]).toEqual({ event: 'media', sequenceNumber: '11', media: frame, streamSid });
  });

  it('sends words in frames, the last filled up with silence', async () => {
    const { stream, payloads } = begin();
    stream.say(audio(30, 1));
    const said = stream.say(audio(10, 2));
    pass(60);
    await said;
    const words = [audio(30, 1), audio(10, 0xff), audio(10, 2), audio(10, 0xff)];
    expect(payloads().map(({ length }) => length)).toEqual([160, 160, 160]);
    expect(Buffer.concat(payloads())).toEqual(Buffer.concat(words));
  });

  it('sends what the microphone has, unless there is something to say', () => {
    const { stream, payloads } = begin({ microphone: counter() });
    pass(20);
    stream.say(audio(20, 99));
    pass(40);
    expect(payloads()).toEqual([audio(20, 1), audio(20, 99), audio(20, 2)]);
  });

  it('reports what was said and heard in each frame, to the sample', () => {
    const moments: Moment[] = [];
    const { stream, receive } = begin({ microphone: counter(), onMoment: (moment) => moments.push(moment) });
    pass(5);
    receive(media(audio(60_000, 5)));
    pass(50);
    receive(clear);
    pass(45);
    expect(moments.map(({ said }) => said[0])).toEqual([1, 2, 3, 4, 5]);
    const heard = Buffer.concat([audio(5, 0xff), audio(50, 5), audio(45, 0xff)]);
    expect(Buffer.concat(moments.map((moment) => moment.heard))).toEqual(heard);
    expect(Buffer.from(stream.heard)).toEqual(heard);
  });

  it('reports when the caller began and stopped speaking, and over whom', () => {
    const { stream, receive, events } = begin();
    stream.say(audio(200));
    pass(1_000);
    receive(media(audio(60_000)));
    stream.say(audio(200));
    pass(60);
    expect(events.slice(1)).toEqual([
      { type: 'speech-started', agoMs: 60, isOverAssistant: false },
      { type: 'speech-stopped', agoMs: 500, speechMs: 200 },
      { type: 'first-sound' },
      { type: 'speech-started', agoMs: 60, isOverAssistant: true },
    ]);
  });

  it('sends each key in a message of its own, numbered with the frames', () => {
    const { stream, sent, events } = begin();
    pass(20);
    stream.press('1#');
    const key = (sequenceNumber: string, digit: string) => {
      return { event: 'dtmf', streamSid, sequenceNumber, dtmf: { track: 'inbound_track', digit } };
    };
    expect(sent.slice(3)).toEqual([key('3', '1'), key('4', '#')]);
    expect(events.at(-1)).toEqual({ type: 'pressed', digits: '1#' });
  });

  it('plays audio in real time, and returns each mark when it is due', async () => {
    const { stream, receive, marks, of, events } = begin();
    receive(media(audio(60, 1)), mark('a'), media(audio(50, 2)), mark('b'));
    const silent = stream.until((phone, now) => phone.silentMs(now) >= 30);
    const heard = [59, 1, 49, 1].map((ms) => {
      pass(ms);
      return marks().join();
    });
    expect(heard).toEqual(['', 'a', 'a', 'a,b']);
    expect(of('mark')[0]).toEqual({ ...mark('a'), sequenceNumber: '4' });
    pass(30);
    expect(await silent).toBe(true);
    expect(events.slice(1)).toEqual([{ type: 'first-sound' }, { type: 'silence' }]);
  });

  it('stops the audio at clear, and returns all marks at once', () => {
    const { stream, receive, marks, events } = begin();
    receive(media(audio(60_000)), mark('a'), mark('b'));
    pass(30);
    receive(clear);
    expect(marks()).toEqual(['a', 'b']);
    expect(stream.heardMs).toBe(30);
    expect(events.at(-1)).toEqual({ type: 'cleared', heardMs: 30, unheardMs: 59_970 });
  });

  it('warns of a message that Twilio would not take, and goes on', () => {
    const { stream, receive, marks, events } = begin();
    stream.receive('{', false);
    stream.receive(JSON.stringify(mark('binary')), true);
    receive(mark('text'));
    expect(marks()).toEqual(['text']);
    expect(events.slice(1)).toMatchObject([{ code: 31951 }, { code: 31950 }]);
  });

  it('sends nothing after stop, and resolves what waits', async () => {
    const { stream, sent, receive } = begin();
    const said = stream.say(audio(60_000));
    const playing = stream.until((phone, now) => phone.playing(now));
    stream.stop();
    receive(media(audio(20)), mark('a'));
    stream.press('1');
    pass(100);
    const stop = { accountSid: 'AC1', callSid: 'CA1' };
    expect(sent.slice(2)).toEqual([{ event: 'stop', sequenceNumber: '2', stop, streamSid }]);
    await said;
    expect(await playing).toBe(false);
    expect(stream.heardMs).toBe(0);
  });
});

describe('readCommand', () => {
  const payload = 'AAAA';
  it.each([
    ['an array', []],
    ['an unknown event', { event: 'hello', streamSid, hello: {} }],
    ['one without streamSid', { event: 'clear' }],
    ['one of another stream', { ...clear, streamSid: 'MZ2' }],
    ['clear with a key too many', { ...clear, clear: {} }],
    ['media without a payload', { event: 'media', streamSid, media: {} }],
    ['a payload that is not base64', { event: 'media', streamSid, media: { payload: 'A-_A' } }],
    ['media with a track', { event: 'media', streamSid, media: { payload, track: 'outbound' } }],
    ['media with a sequence number', { event: 'media', streamSid, media: { payload }, sequenceNumber: '1' }],
    ['a mark without a name', { event: 'mark', streamSid, mark: {} }],
  ])('takes no %s', (_, message) => {
    expect(readCommand(JSON.stringify(message), streamSid)).toBeUndefined();
  });
});
