import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { askWebhook, type Connect, onOrigin, readConnect, signature } from '../simulator/webhook.ts';
import { type FakeOpenAI, type OpenAIPeer, TwilioPeer } from '../support/peers.ts';

export const AUTH_TOKEN = 'a-secret';

/** A call over real sockets, between two ends that the test holds. */
export interface SignedCall {
  callSid: string;
  twilio: TwilioPeer;
  session: OpenAIPeer;
}

/** What the webhook at `origin` answers to a signed request, from a number that few others call from. */
export function ask(origin: string, callSid: string, path = '/incoming-call') {
  const call = { AccountSid: `AC${'0'.repeat(32)}`, CallSid: callSid, CallStatus: 'ringing' };
  const from = `+1415${randomInt(2_000_000, 10_000_000)}`;
  return askWebhook({ url: origin, authToken: AUTH_TOKEN, from }, path, call);
}

export function newCallSid(): string {
  return `CA${randomBytes(16).toString('hex')}`;
}

/** A call that the webhook at `origin` has answered, and its session, which is ready. */
export async function answered(origin: string, openai: FakeOpenAI) {
  const callSid = newCallSid();
  const { twiml = '', reason } = await ask(origin, callSid);
  const connect = readConnect(twiml);
  if (connect === undefined) throw new Error(`The call is not answered: ${reason || twiml}`);
  const session = await openai.dialled();
  await session.configure();
  return { callSid, connect, session };
}

/** Opens a signed stream at `origin`, as the TwiML says; rejects if the upgrade is refused. */
export async function openStream(origin: string, { url }: Connect): Promise<TwilioPeer> {
  const headers = signature(AUTH_TOKEN, url);
  const socket = new WebSocket(onOrigin(origin, new URL(url)), { headers, perMessageDeflate: false });
  const twilio = new TwilioPeer(socket);
  await once(socket, 'open');
  return twilio;
}

/** A call through `origin` whose response `r` has begun. */
export async function startCall(origin: string, openai: FakeOpenAI): Promise<SignedCall> {
  const { callSid, connect, session } = await answered(origin, openai);
  const twilio = await openStream(origin, connect);
  twilio.start(callSid, connect.parameters.token, connect.parameters.call);
  await session.next('response.create');
  session.send({ type: 'response.created', response: { id: 'r' } });
  return { callSid, twilio, session };
}

/** Sends a frame of 20 ms each way, and returns what arrived. */
export async function exchange({ twilio, session }: SignedCall, timestamp: number) {
  twilio.media(timestamp);
  const up = await session.next('input_audio_buffer.append');
  session.say(20);
  const down = await twilio.next('media');
  return { up: up.audio, down: down.media };
}
