import { describe, expect, it } from 'vitest';
import { encodeDetails, readDetails, readWebhook } from '../../src/wire/webhook.ts';

const CALL = 'CA0123456789abcdef0123456789abcdef';
const FROM = '+14155550123';
const TO = '+14155550199';

describe("Twilio's webhook", () => {
  it('leaves all of the query to the owner when it is posted', () => {
    const query = { shop: '7', TenantId: '42', CallSid: 'CA-query', From: '+14155550000' };
    expect(readWebhook(query, { CallSid: 'CA1', From: FROM, To: TO, Direction: 'inbound' })).toEqual({
      callSid: 'CA1',
      isOver: false,
      transfer: { status: '', seconds: 0 },
      details: { direction: 'inbound', from: FROM, to: TO, query },
    });
  });

  it('leaves what is none of its parameters to the owner when all is in the query', () => {
    const own = { shop: '7', TenantId: '42', Lang: 'de', CallerId: '1', ToName: 'x', Fromage: 'brie' };
    const twilio = {
      ...{
        AccountSid: 'AC1',
        ApiVersion: '2010-04-01',
        ApplicationSid: 'AP1',
        CallSid: 'CA1',
        CallToken: 't',
      },
      ...{
        CallStatus: 'ringing',
        Direction: 'inbound',
        From: FROM,
        FromCity: '',
        ToZip: '',
        CalledState: '',
      },
      ...{
        Called: TO,
        Caller: FROM,
        CallerCountry: 'US',
        CallerName: 'Al',
        ForwardedFrom: TO,
        ToCountry: 'US',
      },
      ...{
        ParentCallSid: 'CA0',
        StirVerstat: 'x',
        StirPassportToken: 'y',
        SipHeader_X_a: 'z',
        SipDomain: 'd',
      },
      ...{ AddOns: '{}', AnsweredBy: 'human', ErrorCode: '11200', ErrorUrl: 'https://a.b', SipCallId: 'c' },
    };
    const { callSid, details } = readWebhook({ ...twilio, ...own }, {});
    expect({ callSid, ...details }).toEqual({ callSid: 'CA1', direction: 'inbound', from: FROM, query: own });
  });

  it.each([
    ['outbound-api', 'outbound'],
    ['outbound-dial', 'outbound'],
    ['inbound', 'inbound'],
    ['trunking-terminating', 'inbound'],
    ['', 'inbound'],
  ])('with the direction %j is %s', (Direction, direction) => {
    expect(readWebhook({}, { Direction }).details.direction).toBe(direction);
  });

  it.each(['+14155550123', '+4412345678', '+15', '+123456789012345'].filter((text) => text.length > 6))(
    'has a number such as %s',
    (From) => {
      expect(readWebhook({}, { From, To: From }).details).toMatchObject({ from: From, to: From });
    },
  );

  it.each([
    ...['+266696687', '+7378742833', '+2562533', '+8656696', '+8566696', '+86282452253'],
    ...['anonymous', 'ANONYMOUS', 'Restricted', 'unknown', '', '14155550123', '+1415', '+0415555012'],
    ...['client:alice', 'sip:alice@example.com', '+1415555012345678', '+1415 555 0123', '+14155550123\n'],
  ])('has no number when it says %j', (text) => {
    const { details } = readWebhook({}, { From: text, To: text });
    expect(details).toEqual({ direction: 'inbound', query: {} });
  });

  it.each(['', 'CA 1', 'CA\n1', 'C'.repeat(201)])('names no call by the CallSid %j', (CallSid) => {
    expect(readWebhook({}, { CallSid }).callSid).toBeUndefined();
  });

  it('says how a transfer ended', () => {
    const form = { DialCallStatus: 'completed', DialCallDuration: '61' };
    expect(readWebhook({}, form).transfer).toEqual({ status: 'completed', seconds: 61 });
  });

  it.each(['CA1', '../0123456789abcdef0123456789abcdef', 'CA0123456789ABCDEF0123456789abcdef'])(
    'names no call by %j if it is signed',
    (CallSid) => {
      expect(readWebhook({}, { CallSid }, true).callSid).toBeUndefined();
    },
  );

  it('names a call by its CallSid if it is signed', () => {
    expect(readWebhook({}, { CallSid: CALL }, true).callSid).toBe(CALL);
  });
});

describe('The call parameter of a stream', () => {
  it.each([
    { direction: 'inbound', query: {} },
    { direction: 'outbound', from: FROM, to: TO, query: { shop: '7', name: 'Zoë "Z" <z>&\n' } },
    { direction: 'inbound', from: FROM, query: { direction: 'outbound', from: 'web', to: 'x', query: 'y' } },
  ] as const)('carries %j unchanged', (details) => {
    expect(readDetails(encodeDetails(details))).toEqual(details);
  });

  it('leaves out a query that would make it longer than 480 characters', () => {
    const details = { direction: 'inbound', from: FROM, to: TO } as const;
    const query = (length: number) => ({ ...details, query: { text: 'x'.repeat(length) } });
    const room = 480 - encodeDetails(query(1)).length + 1;
    expect(encodeDetails(query(room))).toHaveLength(480);
    expect(readDetails(encodeDetails(query(room)))).toEqual(query(room));
    expect(readDetails(encodeDetails(query(room + 1)))).toEqual({ ...details, query: {} });
  });

  it.each(['', '{', 'null', '[]', '7', '{"direction":7,"from":["+14155550123"],"to":null,"query":[1]}'])(
    'says nothing of a call as %j',
    (parameter) => {
      expect(readDetails(parameter)).toEqual({ direction: 'inbound', query: {} });
    },
  );

  it('drops numbers and query values that are none', () => {
    const parameter = JSON.stringify({
      direction: 'sideways',
      from: '+266696687',
      to: 'x',
      query: { a: 1, b: '2' },
    });
    expect(readDetails(parameter)).toEqual({ direction: 'inbound', query: { b: '2' } });
  });
});
