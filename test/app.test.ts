import type { FastifyInstance, InjectOptions } from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import { buildApp } from '../src/app.ts';
import { Calls } from '../src/calls.ts';
import { isTokenGood, type Parameters, sign } from '../src/wire/auth.ts';
import { testConfig } from './support/config.ts';

let app: FastifyInstance | undefined;

afterEach(() => app?.close());

async function ask(request: InjectOptions, env: Record<string, string> = {}) {
  app = await buildApp(testConfig(env));
  return app.inject(request);
}

describe('GET /', () => {
  it('says that the server is running, and how many calls are live', async () => {
    const reply = await ask({ url: '/' });
    expect(reply.statusCode).toBe(200);
    expect(reply.json()).toEqual({ message: 'Twilio Media Stream Server is running!', calls: 0 });
  });
});

describe('/incoming-call', () => {
  it.each(['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'] as const)(
    'answers %s with TwiML',
    async (method) => {
      const reply = await ask({ method, url: '/incoming-call', headers: { host: 'relay.example.com' } });
      expect(reply.statusCode).toBe(200);
      expect(reply.headers['content-type']).toMatch(/^text\/xml/);
      expect(reply.body).toContain('<Stream url="wss://relay.example.com/media-stream"></Stream></Connect>');
    },
  );

  it('has nobody speak before the assistant', async () => {
    const { body } = await ask({ method: 'POST', url: '/incoming-call' });
    expect(body).not.toContain('<Say');
    expect(body.match(/<Connect/g)).toHaveLength(1);
  });

  it("takes a form as Twilio's", async () => {
    const reply = await ask({
      method: 'POST',
      url: '/incoming-call',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: 'CallSid=CA1&FromCity=&From=%2B14155550100',
    });
    expect(reply.statusCode).toBe(200);
  });

  it.each([
    [{ host: 'a.example' }, {}, 'a.example', 'http'],
    [{ host: 'a.example:8080' }, {}, 'a.example:8080', 'http'],
    [{ host: 'a.example', 'x-forwarded-proto': 'https' }, {}, 'a.example', 'https'],
    [
      { host: 'inner:3000', 'x-forwarded-host': 'b.ngrok.app', 'x-forwarded-proto': 'https' },
      {},
      'b.ngrok.app',
      'https',
    ],
    [
      { host: 'a', 'x-forwarded-host': 'outer, inner', 'x-forwarded-proto': 'https, http' },
      {},
      'outer',
      'https',
    ],
    [{ host: 'a', 'x-forwarded-host': 'b' }, { PUBLIC_URL: 'https://c.example' }, 'c.example', 'https'],
    [{ host: 'a' }, { PUBLIC_URL: 'https://c.example:8443/' }, 'c.example:8443', 'https'],
  ])('asked with %j and %j, names %s', async (headers, env, host, scheme) => {
    const { body } = await ask({ method: 'POST', url: '/incoming-call?x=1', headers }, env);
    expect(body).toContain(`url="wss://${host}/media-stream"`);
    expect(body).toContain(`action="${scheme}://${host}/call-ended"`);
  });

  it.each(['host', 'x-forwarded-host'])('makes no markup of a hostile %s', async (header) => {
    const { body } = await ask({
      method: 'POST',
      url: '/incoming-call',
      headers: { [header]: '"/><Say>&\'</Say>' },
    });
    expect(body).toContain('wss://&quot;/&gt;&lt;Say&gt;&amp;&apos;&lt;/Say&gt;/media-stream');
    expect(body).not.toContain('<Say');
  });
});

describe('/call-ended', () => {
  it.each(['GET', 'POST'] as const)(
    'apologizes by %s for a call that it does not know, and hangs up',
    async (method) => {
      const reply = await ask({ method, url: '/call-ended' });
      expect(reply.statusCode).toBe(200);
      expect(reply.headers['content-type']).toMatch(/^text\/xml/);
      expect(reply.body).toMatch(/<Response><Say>I am sorry.*<\/Say><Hangup\/><\/Response>/);
    },
  );

  it.each([
    ['completed', '<Response><Hangup/></Response>'],
    ['failed', 'gone wrong'],
    ['time limit', 'time limit'],
  ] as const)('knows of a call that is %s', async (outcome, words) => {
    const calls = new Calls(1);
    app = await buildApp(testConfig(), { calls });
    calls.begin('CA1');
    calls.end('CA1', outcome);
    expect((await app.inject('/call-ended?CallSid=CA1')).body).toContain(words);
  });
});

describe('a number that is open to the world', () => {
  const env = {
    TWILIO_AUTH_TOKEN: 'token',
    ALLOW_UNSIGNED_REQUESTS: 'false',
    PUBLIC_URL: 'https://relay.example.com',
  };
  const form = { 'content-type': 'application/x-www-form-urlencoded' };

  function signed(url: string, parameters?: Parameters): Record<string, string> {
    return { ...form, 'x-twilio-signature': sign('token', url, parameters) };
  }

  it.each([
    ['/incoming-call', 'POST', 'CallSid=CA1&FromCity=&To=1', { CallSid: 'CA1', FromCity: '', To: '1' }],
    ['/incoming-call', 'POST', 'a=2&a=1&a=2&CallSid=CA1', { a: ['2', '1', '2'], CallSid: 'CA1' }],
    ['/incoming-call?b=%20x', 'POST', 'CallSid=CA1', { CallSid: 'CA1' }],
    ['/incoming-call?CallSid=CA1&FromCity=', 'GET', '', {}],
    ['/call-ended', 'POST', 'CallSid=CA1', { CallSid: 'CA1' }],
  ] satisfies [string, 'GET' | 'POST', string, Parameters][])(
    'takes %s by %s with %j when Twilio signed it',
    async (url, method, payload, parameters) => {
      const headers = signed(`https://relay.example.com${url}`, parameters);
      const reply = await ask({ method, url, headers, payload }, env);
      expect(reply.statusCode).toBe(200);
    },
  );

  it.each([
    ['nothing', {}],
    ['another token', { 'x-twilio-signature': sign('other', 'https://relay.example.com/call-ended') }],
    ['another address', { 'x-twilio-signature': sign('token', 'https://relay.example.com/') }],
    ['nonsense', { 'x-twilio-signature': 'nonsense' }],
  ])('answers 403 to a request signed with %s, and gives no hint', async (_, headers) => {
    const reply = await ask({ method: 'GET', url: '/call-ended', headers }, env);
    expect(reply.statusCode).toBe(403);
    expect(reply.body).toBe('');
  });

  it('answers 403 to an unsigned call, and nothing that a stream could be opened with', async () => {
    const reply = await ask(
      { method: 'POST', url: '/incoming-call', headers: form, payload: 'CallSid=CA1' },
      env,
    );
    expect(reply.statusCode).toBe(403);
    expect(reply.body).toBe('');
  });

  it('answers 403 where a parameter was changed or added', async () => {
    const headers = signed('https://relay.example.com/incoming-call', { CallSid: 'CA1' });
    for (const payload of ['CallSid=CA2', 'CallSid=CA1&x=1', '']) {
      const reply = await ask({ method: 'POST', url: '/incoming-call', headers, payload }, env);
      expect(reply.statusCode).toBe(403);
      await app?.close();
    }
  });

  it.each([
    ['relay.example.com', 'https://relay.example.com:443/incoming-call'],
    ['relay.example.com:443', 'https://relay.example.com/incoming-call'],
    ['relay.example.com:8443', 'https://relay.example.com/incoming-call'],
    ['relay.example.com:8443', 'https://relay.example.com:8443/incoming-call'],
  ])('takes a request to %s that was signed as %s', async (host, url) => {
    const headers = { ...signed(url), 'x-forwarded-host': host, 'x-forwarded-proto': 'https' };
    const reply = await ask({ method: 'GET', url: '/incoming-call', headers }, { ...env, PUBLIC_URL: '' });
    expect(reply.statusCode).toBe(200);
  });

  it('does not go by the headers where PUBLIC_URL is set', async () => {
    const headers = { ...signed('https://evil.example/incoming-call'), 'x-forwarded-host': 'evil.example' };
    expect((await ask({ method: 'GET', url: '/incoming-call', headers }, env)).statusCode).toBe(403);
  });

  it('gives the stream a token for its call, within the 500 characters that Twilio takes', async () => {
    const headers = signed('https://relay.example.com/incoming-call', { CallSid: 'CA1' });
    const { body } = await ask(
      { method: 'POST', url: '/incoming-call', headers, payload: 'CallSid=CA1' },
      env,
    );
    const [, token = ''] = body.match(/<Parameter name="token" value="([^"]+)"\/><\/Stream>/) ?? [];
    expect(isTokenGood('token', 'CA1', token, Date.now())).toBe(true);
    expect(token.length).toBeLessThan(490);
  });

  it.each(['CallSid=CA1&CallSid=CA1', ''])(
    'gives no token for a call that is not one: %j',
    async (payload) => {
      const headers = signed(
        'https://relay.example.com/incoming-call',
        payload === '' ? {} : { CallSid: 'CA1' },
      );
      const { statusCode, body } = await ask(
        { method: 'POST', url: '/incoming-call', headers, payload },
        env,
      );
      expect(statusCode).toBe(200);
      expect(body).not.toContain('token');
    },
  );

  it.each(['application/json', 'text/plain', 'multipart/form-data; boundary=x', 'nonsense'])(
    'answers 415 to a body of %s',
    async (type) => {
      const headers = { ...signed('https://relay.example.com/incoming-call'), 'content-type': type };
      const reply = await ask({ method: 'POST', url: '/incoming-call', headers, payload: '{}' }, env);
      expect(reply.statusCode).toBe(415);
    },
  );

  it('answers 413 to a body of more than 64 KiB', async () => {
    const payload = `a=${'x'.repeat(65_536)}`;
    const headers = signed('https://relay.example.com/incoming-call');
    expect((await ask({ method: 'POST', url: '/incoming-call', headers, payload }, env)).statusCode).toBe(
      413,
    );
  });
});

describe('a server that is full', () => {
  it('answers busy, and takes calls again when one has ended', async () => {
    const calls = new Calls(1);
    app = await buildApp(testConfig(), { calls });
    calls.begin('CA1');
    expect((await app.inject('/incoming-call')).body).toContain(
      '<Response><Reject reason="busy"/></Response>',
    );
    calls.end('CA1', 'completed');
    expect((await app.inject('/incoming-call')).body).toContain('<Connect');
  });
});

describe('a server that is shutting down', () => {
  it('answers busy to new calls, and 503 to whoever asks how it is', async () => {
    const calls = new Calls(1);
    app = await buildApp(testConfig(), { calls });
    void calls.close();
    expect((await app.inject('/incoming-call')).body).toContain('<Reject reason="busy"/>');
    expect((await app.inject('/')).statusCode).toBe(503);
  });
});
