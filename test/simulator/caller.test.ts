import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocketServer } from 'ws';
import { sign } from '../../src/wire/auth.ts';
import { askAgain, hangUp, takeStep } from '../../src/wire/twiml.ts';
import { Peer } from '../support/peers.ts';
import { portOf } from '../support/port.ts';
import { type CallerEvent, type CallOptions, placeCall } from './caller.ts';
import { callerLine } from './narrator.ts';

const STREAM = '<Stream url="wss://relay.example.com/media-stream"/>';
const CONNECT = `<?xml version="1.0" encoding="UTF-8"?>
<Response><!-- <Hangup/> --><Connect action="/call-ended?a=1&amp;b=2">${STREAM}</Connect></Response>`;

interface Post {
  path: string;
  headers: IncomingHttpHeaders;
  form: Record<string, string>;
}

type Respond = (response: ServerResponse) => void;

const xml =
  (twiml: string): Respond =>
  (response) =>
    response.setHeader('content-type', 'text/xml').end(twiml);

/** A server that gives its webhooks these responses in turn. `upgradeStatus` refuses the stream. */
async function serve(responds: Respond[] = [xml(CONNECT)], upgradeStatus?: number) {
  const posts: Post[] = [];
  const upgrades: IncomingHttpHeaders[] = [];
  const server = createServer(async (request, response) => {
    const form = Object.fromEntries(new URLSearchParams(await text(request)));
    const respond = responds[posts.length] ?? xml(hangUp());
    posts.push({ path: request.url ?? '', headers: request.headers, form });
    respond(response);
  });
  const streams = new WebSocketServer({
    server,
    path: '/media-stream',
    verifyClient({ req }, answer) {
      upgrades.push(req.headers);
      answer(upgradeStatus === undefined, upgradeStatus);
    },
  });
  const stream = new Promise<Peer>((resolve) => {
    streams.on('connection', (socket) => resolve(new Peer(socket)));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${portOf(server)}`, posts, upgrades, stream };
}

/** A call whose stream has begun, from both ends. */
async function answered(options: Partial<CallOptions> = {}, ...responds: Respond[]) {
  const { url, stream, ...server } = await serve(responds.length === 0 ? undefined : responds);
  const events: CallerEvent[] = [];
  const call = await placeCall({ url, ...options, onEvent: (event) => events.push(event) });
  onTestFinished(() => void call.hangUp());
  return { ...server, call, stream: await stream, events };
}

describe('placeCall', () => {
  it('asks the webhook as Twilio does', async () => {
    const { call, posts } = await answered();
    const AccountSid = expect.stringMatching(/^AC[\da-f]{32}$/);
    const numbers = { From: '+14155550100', To: '+14155550199', FromCity: '' };
    const form = {
      AccountSid,
      CallSid: call.callSid,
      CallStatus: 'ringing',
      Direction: 'inbound',
      ...numbers,
    };
    expect(posts).toMatchObject([{ path: '/incoming-call', form }]);
    expect(call.callSid).toMatch(/^CA[\da-f]{32}$/);
  });

  it('passes on numbers, a direction and a query', async () => {
    const [from, to, path] = ['+4712345678', '+4787654321', '/incoming-call?appointment=1'];
    const { posts } = await answered({ from, to, direction: 'outbound', path });
    const numbers = { From: from, Caller: from, To: to, Called: to };
    const form = { ...numbers, Direction: 'outbound-api', CallStatus: 'in-progress' };
    expect(posts).toMatchObject([{ path, form }]);
  });

  it('signs the webhook and the upgrade over the public address', async () => {
    const publicUrl = 'https://relay.example.com';
    const { posts, upgrades } = await answered({ publicUrl, authToken: 'secret' });
    const { form, headers } = posts[0] ?? {};
    expect(headers?.['x-twilio-signature']).toBe(sign('secret', `${publicUrl}/incoming-call`, form));
    const signature = sign('secret', 'wss://relay.example.com/media-stream');
    expect(upgrades).toMatchObject([{ 'x-twilio-signature': signature }]);
    for (const header of ['origin', 'sec-websocket-protocol', 'sec-websocket-extensions'])
      expect(upgrades[0]).not.toHaveProperty(header);
  });

  it('leaves out the path that the proxy at the public address cuts off', async () => {
    const publicUrl = 'https://relay.example.com/voice';
    const again = xml(askAgain('/voice/incoming-call', 1).replace('length="1"', 'length="0"'));
    const connected = xml(CONNECT.replace('.com/', '.com/voice/'));
    const { posts, upgrades } = await answered({ publicUrl, authToken: 'secret' }, again, connected);
    expect(posts.map(({ path }) => path)).toEqual(['/incoming-call', '/incoming-call']);
    for (const { headers, form } of posts)
      expect(headers['x-twilio-signature']).toBe(sign('secret', `${publicUrl}/incoming-call`, form));
    const signature = sign('secret', 'wss://relay.example.com/voice/media-stream');
    expect(upgrades).toMatchObject([{ 'x-twilio-signature': signature }]);
  });

  it('connects the stream that goes both ways, and no other', async () => {
    const tap =
      '<Start><Stream url="wss://tap.example.com/x"><Parameter name="k" value="v"/></Stream></Start>';
    const { upgrades } = await answered({}, xml(CONNECT.replace('<Connect', `${tap}<Connect`)));
    expect(upgrades).toHaveLength(1);
  });

  it('follows a redirect before there is a stream', async () => {
    const twiml = askAgain('/incoming-call?again=1&b=2', 1).replace('length="1"', 'length="0"');
    const { posts } = await answered({}, xml(twiml), xml(CONNECT));
    expect(posts.map(({ path }) => path)).toEqual(['/incoming-call', '/incoming-call?again=1&b=2']);
  });

  const connect = (url: string) => xml(`<Response><Connect><Stream url="${url}"/></Connect></Response>`);

  it.each<[string, Respond, number, number[], number?]>([
    ['without a stream', xml('<Response><Reject/></Response>'), 200, []],
    ['with Hangup before the stream', xml(CONNECT.replace('<Connect', '<Hangup/><Connect')), 200, []],
    ['with an error', (response) => response.writeHead(500).end(), 500, [11200]],
    ['with JSON', (response) => response.end('{}'), 200, [11200]],
    ['with a ws address', connect('ws://a/b'), 200, [31922]],
    ['with a query in the address', connect('wss://a/b?c=d'), 200, [31920]],
    ['and rejects the upgrade', xml(CONNECT), 403, [31920], 403],
  ])('ends as rejected when the server responds %s', async (_, respond, httpStatus, codes, upgrade) => {
    const { url } = await serve([respond], upgrade);
    const call = await placeCall({ url });
    const reason = expect.stringMatching(/./);
    expect(await call.ended).toEqual({ by: 'rejected', code: 1006, reason, httpStatus });
    expect(call.warnings.map(({ code }) => code)).toEqual(codes);
    expect(await call.untilPlaying()).toBe(false);
  });

  it('ends as rejected when nobody listens', async () => {
    const call = await placeCall({ url: 'http://127.0.0.1:1' });
    expect(await call.ended).toMatchObject({ by: 'rejected', code: 1006 });
  });
});

describe('PhoneCall', () => {
  it('sends stop and closes with 1000 when the caller hangs up', async () => {
    const { stream, call, posts, events } = await answered();
    expect(await call.hangUp()).toEqual({ by: 'caller', code: 1000, reason: '' });
    expect((await stream.closed).code).toBe(1000);
    expect(stream.received.at(-1)).toMatchObject({ event: 'stop' });
    expect(posts).toHaveLength(1);
    expect(events.map(({ type }) => type)).toEqual(['answered', 'stream-started', 'closed']);
  });

  it('asks for the Connect action, signed, when the server closes the stream', async () => {
    const publicUrl = 'https://relay.example.com';
    const { stream, call, posts, events } = await answered({ authToken: 'secret', publicUrl });
    stream.socket.close(1011, 'no assistant');
    expect(await call.ended).toEqual({ by: 'server', code: 1011, reason: 'no assistant' });
    const { path, form, headers } = posts[1] ?? {};
    expect(path).toBe('/call-ended?a=1&b=2');
    expect(form).toMatchObject({ CallSid: call.callSid, CallStatus: 'in-progress' });
    expect(headers?.['x-twilio-signature']).toBe(sign('secret', `${publicUrl}${path}`, form));
    expect(events.slice(-2).map(({ type }) => type)).toEqual(['closed', 'twiml']);
    expect(stream.received.map(({ event }) => event)).not.toContain('stop');
  });

  it.each([
    ['no-answer', { DialCallStatus: 'no-answer' }],
    [undefined, { DialCallStatus: 'completed', DialCallDuration: '42' }],
  ] as const)('asks for the Dial action after a put-through that ends %s', async (dialled, outcome) => {
    const options = dialled && { dialled };
    const nobody = '<Response><Say language="en-GB">Nobody is there.</Say><Hangup/></Response>';
    const putThrough = takeStep(
      { dial: '+14155550111', callerId: '+14155550199', query: {} },
      '/transfer-ended',
    );
    const { stream, call, posts, events } = await answered(
      options,
      xml(CONNECT),
      xml(putThrough),
      xml(nobody),
    );
    stream.socket.close(1000);
    await call.ended;
    expect(posts[2]).toMatchObject({ path: '/transfer-ended', form: outcome });
    expect(events.slice(-2).map(callerLine)).toEqual([
      'is put through to +14155550111, where +14155550199 is shown',
      'is told: Nobody is there.',
    ]);
  });
});
