import type { FastifyInstance, InjectOptions } from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import { buildApp } from '../src/app.ts';
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
      expect(reply.body).toContain('<Stream url="wss://relay.example.com/media-stream"/></Connect>');
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
  it.each(['GET', 'POST'] as const)('hangs up when asked by %s', async (method) => {
    const reply = await ask({ method, url: '/call-ended' });
    expect(reply.statusCode).toBe(200);
    expect(reply.headers['content-type']).toMatch(/^text\/xml/);
    expect(reply.body).toContain('<Response><Hangup/></Response>');
  });
});
