import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { buildApp, type Relay } from '../../src/http/app.ts';
import { isTokenGood, type Parameters, sign } from '../../src/wire/auth.ts';
import { assistant } from '../simulator/assistant.ts';
import { readConnect } from '../simulator/webhook.ts';
import { AUTH_TOKEN, GUARDED, HOST, testConfig } from '../support/config.ts';
import { FakeOpenAI } from '../support/peers.ts';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const BUSY = '<Response><Reject reason="busy"/></Response>';

let relay: Relay | undefined;

afterEach(() => relay?.app.close());

/** A relay whose OpenAI rejects the first handshakes, and never answers the others. */
async function startRelay(env: Record<string, string> = {}, rejections = 0): Promise<Relay> {
  const openai = await FakeOpenAI.listen((handshake) => (handshake <= rejections ? 401 : 'hang'));
  onTestFinished(() => openai.close());
  relay = await buildApp(testConfig({ OPENAI_REALTIME_URL: openai.url, ...env }), assistant);
  return relay;
}

/** The reply of a server without signatures. */
async function ask(request: InjectOptions, env?: Record<string, string>): Promise<LightMyRequestResponse> {
  return (await startRelay(env)).app.inject(request);
}

/** The reply of a guarded server to a form. */
function post(url: string, payload: string, headers: Record<string, string>, env = GUARDED) {
  return ask({ method: 'POST', url, payload, headers: { ...FORM, ...headers } }, env);
}

/** Twilio's signature for a request to that server. */
function signed(path: string, parameters?: Parameters): Record<string, string> {
  return { 'x-twilio-signature': sign(AUTH_TOKEN, `https://${HOST}${path}`, parameters) };
}

describe('GET /', () => {
  it('says that it is running, and how many calls are live', async () => {
    const { app } = await startRelay();
    await app.inject('/incoming-call?CallSid=CA1');
    const { statusCode, body } = await app.inject('/');
    expect(statusCode).toBe(200);
    expect(JSON.parse(body)).toEqual({ message: 'Twilio Media Stream Server is running!', calls: 1 });
  });
});

describe('/incoming-call', () => {
  it.each(['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'] as const)(
    'connects a call by %s, without a word before the assistant',
    async (method) => {
      const reply = await ask({ method, url: '/incoming-call', headers: { host: HOST } });
      expect(reply.statusCode).toBe(200);
      expect(reply.headers['content-type']).toMatch(/^text\/xml/);
      expect(reply.body).toBe(
        '<?xml version="1.0" encoding="UTF-8"?>\n' +
          `<Response><Connect action="http://${HOST}/call-ended">` +
          `<Stream url="wss://${HOST}/media-stream"></Stream></Connect></Response>\n`,
      );
    },
  );

  it.each([
    [{ host: 'a.example' }, '', 'a.example', 'http'],
    [{ host: 'a.example:8080' }, '', 'a.example:8080', 'http'],
    [{ host: 'a.example', 'x-forwarded-proto': 'https' }, '', 'a.example', 'https'],
    [
      { host: 'inner:3000', 'x-forwarded-host': 'b.ngrok.app', 'x-forwarded-proto': 'https' },
      '',
      'b.ngrok.app',
      'https',
    ],
    [
      { host: 'a', 'x-forwarded-host': 'outer, inner', 'x-forwarded-proto': 'https, http' },
      '',
      'outer',
      'https',
    ],
    [{ host: 'a', 'x-forwarded-host': 'b' }, 'https://c.example', 'c.example', 'https'],
    [{ host: 'a' }, 'https://c.example:8443/', 'c.example:8443', 'https'],
    [{ host: 'a' }, 'https://C.Example/Voice', 'C.Example/Voice', 'https'],
  ])('given %j, and PUBLIC_URL %j, names %s', async (headers, PUBLIC_URL, host, scheme) => {
    const { body } = await ask({ method: 'POST', url: '/incoming-call?x=1', headers }, { PUBLIC_URL });
    expect(body).toContain(`url="wss://${host}/media-stream"`);
    expect(body).toContain(`action="${scheme}://${host}/call-ended"`);
  });

  it.each(['host', 'x-forwarded-host'])('lets a hostile %s make no markup', async (header) => {
    const headers = { [header]: '"/><Say>&\'</Say>' };
    const { body } = await ask({ method: 'POST', url: '/incoming-call', headers });
    expect(body).toContain('wss://&quot;/&gt;&lt;Say&gt;&amp;&apos;&lt;/Say&gt;/media-stream');
    expect(body).not.toContain('<Say');
  });

  it('rejects a call as busy while the server is full', async () => {
    const { app, calls } = await startRelay({ MAX_CONCURRENT_CALLS: '1' }, 1);
    await app.inject('/incoming-call?CallSid=CA1');
    expect((await app.inject('/incoming-call?CallSid=CA2')).body).toContain(BUSY);
    await vi.waitFor(() => expect(calls.live).toBe(0));
    expect((await app.inject('/incoming-call?CallSid=CA2')).body).toContain('<Connect');
  });

  it('redirects a call to the path that PUBLIC_URL has', async () => {
    const { app, calls } = await startRelay({ PUBLIC_URL: 'https://c.example/voice' });
    calls.close();
    expect((await app.inject('/incoming-call?CallSid=CA1')).body).toContain(
      '<Redirect>/voice/incoming-call</Redirect>',
    );
  });

  it('redirects a call while the server shuts down, and GET / gets 503', async () => {
    const { app, calls } = await startRelay();
    calls.close();
    const asked = '<Response><Pause length="1"/><Redirect>/incoming-call?shop=7&amp;To%C2%A3=1</Redirect>';
    expect((await app.inject('/incoming-call?shop=7&CallSid=CA1&To%C2%A3=1')).body).toContain(asked);
    expect((await app.inject('/')).statusCode).toBe(503);
  });
});

describe('A server without signatures', () => {
  it.each([
    { origin: 'http://evil.example' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-origin' },
  ])('rejects a web page that sends %j', async (headers) => {
    expect((await ask({ method: 'POST', url: '/incoming-call', headers })).statusCode).toBe(403);
  });
});

describe('A status callback', () => {
  it.each(['completed', 'canceled', 'busy', 'failed', 'no-answer'])(
    'that says %s ends a ringing call',
    async (status) => {
      const { app, calls } = await startRelay();
      await app.inject('/incoming-call?CallSid=CA1');
      const reply = await app.inject(`/incoming-call?CallSid=CA1&CallStatus=${status}`);
      expect([reply.statusCode, reply.body, calls.live]).toEqual([204, '', 0]);
    },
  );

  it('begins no call', async () => {
    const { app, calls } = await startRelay();
    await app.inject('/incoming-call?CallSid=CA1&CallStatus=completed');
    expect(calls.live).toBe(0);
  });
});

describe('/call-ended', () => {
  it.each(['GET', 'POST'] as const)('hangs up without a word on an unknown call by %s', async (method) => {
    const reply = await ask({ method, url: '/call-ended' });
    expect(reply.statusCode).toBe(200);
    expect(reply.headers['content-type']).toMatch(/^text\/xml/);
    expect(reply.body).toContain('<Response><Hangup/></Response>');
  });
});

describe('/transfer-ended', () => {
  it.each(['completed', 'answered'])('hangs up when the transfer was %s', async (status) => {
    const { body } = await ask({ url: `/transfer-ended?DialCallStatus=${status}` });
    expect(body).toContain('<Response><Hangup/></Response>');
  });

  it.each(['busy', 'no-answer', 'failed', 'canceled'])(
    'says that nobody is there when the transfer was %s',
    async (status) => {
      const { body } = await ask({ url: `/transfer-ended?DialCallStatus=${status}` });
      expect(body).toContain('<Response><Say>Nobody is there.</Say><Hangup/></Response>');
    },
  );

  it('says what the call brings along, and logs how it went', async () => {
    const path = `/transfer-ended/CA1?nobodyAnswered=Niemand%20da.&language=de-DE&CallSid=CA1`;
    const { body } = await ask({ url: `${path}&DialCallStatus=no-answer&DialCallDuration=0` });
    expect(body).toContain('<Say language="de-DE">Niemand da.</Say><Hangup/>');
  });
});

describe('Every answer', () => {
  it.each<[number, InjectOptions]>([
    [200, { url: '/' }],
    [200, { url: '/incoming-call' }],
    [200, { url: '/call-ended/CA1' }],
    [200, { url: '/transfer-ended' }],
    [426, { url: '/media-stream' }],
    [404, { url: '/nowhere' }],
    [400, { url: '/%ff' }],
    [414, { url: `/call-ended/${'x'.repeat(201)}` }],
    [415, { url: '/incoming-call', method: 'POST', payload: {} }],
  ])('of %d keeps caches from repeating it: %j', async (status, request) => {
    const { statusCode, headers } = await ask(request);
    expect([statusCode, headers['cache-control']]).toEqual([status, 'no-store']);
  });
});

describe('A guarded server', () => {
  it.each([
    ['/incoming-call', 'CallSid=CA1&FromCity=&To=1', { CallSid: 'CA1', FromCity: '', To: '1' }],
    ['/incoming-call', 'a=2&a=1&a=2&CallSid=CA1', { a: ['2', '1', '2'], CallSid: 'CA1' }],
    ['/incoming-call?b=%20x', 'CallSid=CA1', { CallSid: 'CA1' }],
    ['/call-ended', 'CallSid=CA1', { CallSid: 'CA1' }],
  ] satisfies [string, string, Parameters][])(
    'accepts a signed POST to %s of %j',
    async (url, payload, parameters) => {
      expect((await post(url, payload, signed(url, parameters))).statusCode).toBe(200);
    },
  );

  it('accepts a GET that is signed with its query', async () => {
    const url = '/incoming-call?CallSid=CA1&FromCity=';
    expect((await ask({ url, headers: signed(url) }, GUARDED)).statusCode).toBe(200);
  });

  it.each([
    ['nothing', {}],
    ['another token', { 'x-twilio-signature': sign('other', `https://${HOST}/call-ended`) }],
    ['another address', signed('/')],
    ['nonsense', { 'x-twilio-signature': 'nonsense' }],
  ])('answers 403 and no hint to a request signed with %s', async (_, headers) => {
    const reply = await ask({ url: '/call-ended', headers }, GUARDED);
    expect(reply.statusCode).toBe(403);
    expect(reply.body).toBe('');
  });

  it.each(['CallSid=CA2', 'CallSid=CA1&x=1', ''])(
    'answers 403 and no token to a form that became %j',
    async (payload) => {
      const reply = await post('/incoming-call', payload, signed('/incoming-call', { CallSid: 'CA1' }));
      expect(reply.statusCode).toBe(403);
      expect(reply.body).toBe('');
    },
  );

  it.each([
    ['relay.example.com', 'https://relay.example.com:443/incoming-call'],
    ['relay.example.com:443', 'https://relay.example.com/incoming-call'],
    ['relay.example.com:8443', 'https://relay.example.com/incoming-call'],
    ['relay.example.com:8443', 'https://relay.example.com:8443/incoming-call'],
  ])('accepts a request to %s that was signed as %s', async (host, url) => {
    const signature = { 'x-twilio-signature': sign(AUTH_TOKEN, url) };
    const headers = { ...signature, 'x-forwarded-host': host, 'x-forwarded-proto': 'https' };
    const reply = await ask({ url: '/incoming-call', headers }, { ...GUARDED, PUBLIC_URL: '' });
    expect(reply.statusCode).toBe(200);
  });

  it.each([
    ['https://Relay.Example.com', 'https://Relay.Example.com/incoming-call'],
    ['https://Relay.Example.com', 'https://Relay.Example.com:443/incoming-call'],
    ['https://Relay.Example.com', 'https://relay.example.com/incoming-call'],
    ['https://Relay.Example.com:443', 'https://relay.example.com/incoming-call'],
    ['https://Relay.Example.com:443', 'https://Relay.Example.com:443/incoming-call'],
    ['https://bücher.example', 'https://xn--bcher-kva.example/incoming-call'],
    ['https://relay.example.com/voice', 'https://relay.example.com/voice/incoming-call'],
  ])('with the PUBLIC_URL %s accepts a request that was signed as %s', async (PUBLIC_URL, url) => {
    const headers = { 'x-twilio-signature': sign(AUTH_TOKEN, url) };
    const reply = await ask({ url: '/incoming-call', headers }, { ...GUARDED, PUBLIC_URL });
    expect(reply.statusCode).toBe(200);
  });

  it('answers 403 to a signature for the headers when PUBLIC_URL is set', async () => {
    const signature = { 'x-twilio-signature': sign(AUTH_TOKEN, 'https://evil.example/incoming-call') };
    const headers = { ...signature, 'x-forwarded-host': 'evil.example' };
    expect((await ask({ url: '/incoming-call', headers }, GUARDED)).statusCode).toBe(403);
  });

  it('gives a stream its token and the details of its call', async () => {
    const CallSid = 'CA0123456789abcdef0123456789abcdef';
    const form = { CallSid, From: '+14155550123', To: '+14155550199', Direction: 'inbound' };
    const url = '/incoming-call?shop=7';
    const { body } = await post(url, new URLSearchParams(form).toString(), signed(url, form));
    const { token = '', call = '' } = readConnect(body)?.parameters ?? {};
    expect(isTokenGood(AUTH_TOKEN, CallSid, token, Date.now(), call)).toBe(true);
    expect(JSON.parse(call)).toEqual({
      direction: 'inbound',
      from: form.From,
      to: form.To,
      query: { shop: '7' },
    });
    expect(token.length).toBeLessThan(490);
  });

  it.each([
    ['CallSid=CA1&CallSid=CA1', { CallSid: 'CA1' }],
    ['', {}],
  ] satisfies [string, Parameters][])(
    'gives no token for %j, which names no call',
    async (payload, parameters) => {
      const { statusCode, body } = await post(
        '/incoming-call',
        payload,
        signed('/incoming-call', parameters),
      );
      expect(statusCode).toBe(200);
      expect(body).not.toContain('token');
    },
  );

  it.each(['application/json', 'text/plain', 'multipart/form-data; boundary=x', 'nonsense'])(
    'answers 415 to a body of %s',
    async (type) => {
      const headers = { ...signed('/incoming-call'), 'content-type': type };
      expect((await post('/incoming-call', '{}', headers)).statusCode).toBe(415);
    },
  );

  it('answers 413 to a body of more than 64 KiB', async () => {
    const payload = `a=${'x'.repeat(65_536)}`;
    expect((await post('/incoming-call', payload, signed('/incoming-call'))).statusCode).toBe(413);
  });
});
