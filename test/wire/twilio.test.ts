import { describe, expect, it } from 'vitest';
import { encodeTwilioCommand, parseTwilioMessage } from '../../src/wire/twilio.ts';

const read = (message: unknown) => parseTwilioMessage(Buffer.from(JSON.stringify(message)));

const mediaFormat = { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 };

describe("The parser of Twilio's messages", () => {
  it.each([
    [{ event: 'connected', protocol: 'Call', version: '1.0.0' }, { event: 'connected' }],
    [
      {
        event: 'start',
        sequenceNumber: '1',
        streamSid: 'MZ1',
        start: {
          accountSid: 'AC1',
          streamSid: 'MZ1',
          callSid: 'CA1',
          tracks: ['inbound'],
          mediaFormat,
          customParameters: { token: 't', odd: 7 },
        },
      },
      {
        event: 'start',
        streamSid: 'MZ1',
        start: { callSid: 'CA1', mediaFormat, customParameters: { token: 't' } },
      },
    ],
    [
      {
        event: 'media',
        sequenceNumber: '3',
        media: { track: 'inbound', chunk: '1', timestamp: '5', payload: '/w==' },
        streamSid: 'MZ1',
      },
      { event: 'media', streamSid: 'MZ1', media: { timestamp: 5, payload: '/w==' } },
    ],
    [
      { event: 'dtmf', streamSid: 'MZ1', sequenceNumber: '5', dtmf: { track: 'inbound_track', digit: '1' } },
      { event: 'dtmf', streamSid: 'MZ1', dtmf: { digit: '1' } },
    ],
    [
      { event: 'mark', sequenceNumber: '4', streamSid: 'MZ1', mark: { name: 'my label' } },
      { event: 'mark', streamSid: 'MZ1', mark: { name: 'my label' } },
    ],
    [
      { event: 'stop', sequenceNumber: '5', stop: { accountSid: 'AC1', callSid: 'CA1' }, streamSid: 'MZ1' },
      { event: 'stop', streamSid: 'MZ1' },
    ],
  ])('reads %j', (message, expected) => {
    expect(read(message)).toEqual(expected);
  });

  it.each([
    [{ event: 'media', streamSid: 'MZ1', media: { timestamp: 5, payload: '/w==' } }],
    [{ event: 'media', streamSid: 'MZ1', media: { timestamp: '-5', payload: '/w==' } }],
    [{ event: 'media', streamSid: 'MZ1', media: { timestamp: '5', payload: '"}' } }],
    [{ event: 'media', streamSid: 'MZ1', media: { timestamp: '5', payload: 'abc' } }],
    [{ event: 'media', streamSid: 'MZ1', media: { track: 'outbound', timestamp: '5', payload: '/w==' } }],
    [{ event: 'media', media: { timestamp: '5', payload: '/w==' } }],
    [{ event: 'start', streamSid: 'MZ1', start: { callSid: 'CA1' } }],
    [{ event: 'start', streamSid: 'MZ1', start: { callSid: 7, mediaFormat } }],
    [{ event: 'mark', streamSid: 'MZ1', mark: {} }],
    [{ event: 'dtmf', streamSid: 'MZ1' }],
    [{ event: 'stop', streamSid: 'M'.repeat(201) }],
    [{ event: 'start', streamSid: 'MZ1', start: { callSid: 'CA\u202e1', mediaFormat } }],
    [{ event: 'mystery', streamSid: 'MZ1' }],
    [{ event: 7 }],
    [[]],
    [null],
  ])('rejects %j', (message) => {
    expect(read(message)).toBeUndefined();
  });

  it('rejects what is not JSON', () => {
    expect(parseTwilioMessage(Buffer.from('{"event":"stop"'))).toBeUndefined();
  });
});

describe('A command to Twilio', () => {
  it.each([
    [{ event: 'media', streamSid: 'MZ1', media: { payload: '/w==' } }],
    [{ event: 'mark', streamSid: 'MZ1', mark: { name: 'audio-1' } }],
    [{ event: 'clear', streamSid: 'MZ1' }],
  ] as const)('%j has exactly the documented keys', (command) => {
    expect(encodeTwilioCommand(command).toString()).toBe(JSON.stringify(command));
  });
});
