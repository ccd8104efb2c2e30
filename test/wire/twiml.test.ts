import { describe, expect, it } from 'vitest';
import {
  askAgain,
  connectStream,
  hangUp,
  isWellFormed,
  rejectAsBusy,
  say,
  takeStep,
} from '../../src/wire/twiml.ts';

const ACTION = 'https://relay.example.com/transfer-ended';

/** The verbs of a document. */
function verbs(twiml: string): string | undefined {
  return /^<\?xml version="1.0" encoding="UTF-8"\?>\n<Response>(?<verbs>.*)<\/Response>\n$/s.exec(twiml)
    ?.groups?.verbs;
}

describe('Verbs before the stream', () => {
  it.each([
    '',
    'text',
    '<Say>Hello.</Say>',
    '<Say voice=\'alice\' language="en-GB">Hello.</Say>',
    '<Say>Fish &amp; chips &lt;3 &#233; &#xE9;</Say>',
    '<Start><Recording/></Start>',
    '<Start>\n  <Recording recordingStatusCallback="https://a.example/x?a=1&amp;b=2" />\n</Start>',
    '<Play loop="1">https://a.example/a.mp3</Play><Pause length="1"/>',
    '<!-- a <Say> that is not --><Pause/>',
    '<Say>2 > 1</Say>',
    '<Say><prosody rate="90%">Hello.</prosody></Say >',
  ])('are well-formed in %j', (text) => {
    expect(isWellFormed(text)).toBe(true);
  });

  it.each([
    '<Say>Hello.',
    'Hello.</Say>',
    '</Say>',
    '</Say><Say>',
    '<Say>Hello.</say>',
    '<Say><Start></Say></Start>',
    '<Say>Fish & chips</Say>',
    '<Say>1 < 2</Say>',
    '<Say>Hello.</Say',
    '<Say voice=alice>Hello.</Say>',
    '<Say voice="alice>Hello.</Say>',
    '<Say voice>Hello.</Say>',
    '<Say voice="<">Hello.</Say>',
    '<1/>',
    '< Say/>',
    '<!-- never closed',
    '&;',
  ])('are not well-formed in %j', (text) => {
    expect(isWellFormed(text)).toBe(false);
  });

  it('need an escaped ampersand in an attribute, too', () => {
    expect(isWellFormed('<Play a="?a=1&b=2"/>')).toBe(false);
    expect(isWellFormed('<Play a="?a=1&amp;b=2"/>')).toBe(true);
  });

  it.each(['<Say>x</Say a="1">', '</Say/>'])('have no attributes in an end tag, as in %j', (text) => {
    expect(isWellFormed(text)).toBe(false);
  });
});

describe('A TwiML document', () => {
  it('has the stream behind the verbs before it', () => {
    const twiml = connectStream(
      'wss://a.example/s',
      'https://a.example/e',
      { a: '"1" & <2>' },
      '<Say>x</Say>',
    );
    expect(verbs(twiml)).toBe(
      '<Say>x</Say><Connect action="https://a.example/e"><Stream url="wss://a.example/s">' +
        '<Parameter name="a" value="&quot;1&quot; &amp; &lt;2&gt;"/></Stream></Connect>',
    );
  });

  it('dials a number with the caller ID to be shown', () => {
    expect(
      verbs(
        takeStep(
          {
            dial: '+14155550100',
            callerId: '+14155550123',
            query: { nobodyAnswered: 'A & B', language: 'de-DE' },
          },
          ACTION,
        ),
      ),
    ).toBe(
      `<Dial answerOnBridge="true" timeout="25" callerId="+14155550123" action="${ACTION}?nobodyAnswered=A+%26+B&amp;language=de-DE"><Number>+14155550100</Number></Dial>`,
    );
  });

  it('dials a SIP address, escaped', () => {
    expect(
      verbs(takeStep({ dial: 'sip:desk@pbx.example?a=1&b=2', callerId: undefined, query: {} }, ACTION)),
    ).toBe(
      `<Dial answerOnBridge="true" timeout="25" action="${ACTION}?"><Sip>sip:desk@pbx.example?a=1&amp;b=2</Sip></Dial>`,
    );
  });

  it('says a text as text, in a language and with a voice', () => {
    expect(say('<Hangup/> & "Zoë"\n')).toBe('<Say>&lt;Hangup/&gt; &amp; &quot;Zoë&quot;\n</Say>');
    expect(say('Hallo', { language: 'de-DE', voice: '"' })).toBe(
      '<Say language="de-DE" voice="&quot;">Hallo</Say>',
    );
    expect(verbs(takeStep({ say: 'Hallo', as: { language: 'de-DE' } }, ACTION))).toBe(
      '<Say language="de-DE">Hallo</Say><Hangup/>',
    );
  });

  it('hangs up, rejects or redirects', () => {
    expect(verbs(hangUp())).toBe('<Hangup/>');
    expect(verbs(hangUp('A & B'))).toBe('<Say>A &amp; B</Say><Hangup/>');
    expect(verbs(rejectAsBusy())).toBe('<Reject reason="busy"/>');
    expect(verbs(askAgain('/incoming-call?a=1&b=2', 1))).toBe(
      '<Pause length="1"/><Redirect>/incoming-call?a=1&amp;b=2</Redirect>',
    );
  });

  it.each([
    ['\b', ''],
    ['\0', ''],
    ['\uffff', ''],
    ['\ud83d', '\ufffd'],
    ['\t\n', '\t\n'],
    ['👋', '👋'],
  ])('says %j as %j', (character, said) => {
    expect(verbs(hangUp(`Sorry${character}.`))).toBe(`<Say>Sorry${said}.</Say><Hangup/>`);
  });
});
