import { describe, expect, it } from 'vitest';
import { hangUp, rejectAsBusy } from '../../src/wire/twiml.ts';
import type { CallEnd, CallerEvent } from './caller.ts';
import { troubleOf } from './trouble.ts';

const rejected: CallEnd = { by: 'rejected', code: 1006, reason: 'it rained', httpStatus: 200 };
const untrusted: CallEnd = { by: 'rejected', code: 1006, reason: 'Error: self-signed certificate' };
const closed: CallEnd = { by: 'server', code: 1011, reason: '' };
const answered = (twiml: string): CallerEvent => ({ type: 'answered', twiml, at: 1 });
const told = (twiml: string): CallerEvent => ({ type: 'twiml', twiml, at: 2 });

describe('troubleOf', () => {
  it.each<[string, CallEnd, CallerEvent[], RegExp]>([
    ['with a wrong signature', { ...rejected, httpStatus: 403 }, [], /TWILIO_AUTH_TOKEN or PUBLIC_URL/],
    ['without a server', { ...rejected, httpStatus: undefined }, [], /^No server answers at http:\/\/a\./],
    ['with a certificate that is not trusted', untrusted, [], /NODE_EXTRA_CA_CERTS/],
    ['to a busy line', rejected, [answered(rejectAsBusy())], /^The line is busy/],
    ['that is declined with a sentence', rejected, [answered(hangUp('Not "now"'))], /said: “Not "now"”/],
    ['that is declined otherwise', rejected, [], /^The call was not taken: it rained\.$/],
    ['that OpenAI fails', closed, [told(hangUp('Sorry.'))], /ended the call \(1011\), and said: “Sorry\.”/],
    ['whose server is stopped', { ...closed, code: 1006 }, [], /^The server has gone \(1006\)/],
  ])('explains a call %s', (_, end, events, words) => {
    expect(troubleOf(end, events, 'http://a')).toMatch(words);
  });

  it('has nothing to say if the caller hung up, or the assistant', () => {
    expect(troubleOf({ by: 'caller', code: 1000, reason: '' }, [], 'http://a')).toBeUndefined();
    expect(troubleOf({ ...closed, code: 1000 }, [told(hangUp())], 'http://a')).toBeUndefined();
  });
});
