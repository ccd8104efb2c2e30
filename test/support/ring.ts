import type { Answer, Assistant, CallInfo } from '../../src/contract.ts';
import { sign } from '../../src/wire/auth.ts';
import { assistant as testAssistant } from '../simulator/assistant.ts';
import { startServer } from './call.ts';
import { AUTH_TOKEN, HOST } from './config.ts';
import { CALL, dialStream, type FakeOpenAI, type OpenAIPeer, type TwilioPeer } from './peers.ts';
import type { TestServer } from './server.ts';

export const FROM = '+14155550123';
export const TO = '+14155550199';

/** A server whose assistant differs by `changes`, and its fake OpenAI. Both close after the test. */
export async function serverOf(changes: Partial<Assistant>, env: Record<string, string> = {}) {
  const assistant: Assistant = { ...testAssistant, ...changes };
  return { ...(await startServer(env, undefined, assistant)), assistant };
}

/** Posts the webhook of a call, with `form` on top; resolves to the TwiML. */
export async function ring(
  { origin }: TestServer,
  form: Record<string, string> = {},
  path = '/incoming-call',
): Promise<string> {
  const all = { CallSid: CALL, From: FROM, To: TO, Direction: 'inbound', ...form };
  const response = await fetch(origin + path, {
    method: 'POST',
    body: new URLSearchParams(all),
    headers: { 'x-twilio-signature': sign(AUTH_TOKEN, `https://${HOST}${path}`, all) },
  });
  return response.text();
}

/** A call from its webhook to its request for the greeting. */
async function greetedCall(
  openai: FakeOpenAI,
  server: TestServer,
  form: Record<string, string>,
): Promise<{ twilio: TwilioPeer; session: OpenAIPeer }> {
  await ring(server, form);
  const session = await openai.dialled();
  await session.configure();
  await session.next('response.create');
  const twilio = await dialStream(server.origin);
  twilio.start();
  await server.log.find('call started');
  return { twilio, session };
}

/** A server with this `answer` hook, and the calls that the hook received. */
export async function answering(answer: NonNullable<Assistant['answer']>, env: Record<string, string> = {}) {
  const asked: CallInfo[] = [];
  const servers = await serverOf(
    {
      answer(call) {
        asked.push(call);
        return answer(call);
      },
    },
    env,
  );
  return { ...servers, asked };
}

/** A server whose `answer` hook resolves once `release` is called with what it returns. */
export async function answeringLater() {
  let release: (answer: Answer) => void = () => {};
  const released = new Promise<Answer>((resolve) => {
    release = resolve;
  });
  return { ...(await answering(() => released)), release };
}

/** The instructions, the voice and the tools in a session.update. */
export function configuration(update: Record<string, unknown>) {
  const { session } = JSON.parse(JSON.stringify(update));
  return { instructions: session.instructions, voice: session.audio.output.voice, tools: session.tools };
}

/** A call with `form` to a server of its own whose assistant differs by `changes`. */
export async function callTo(changes: Partial<Assistant>, form: Record<string, string> = {}) {
  const servers = await serverOf(changes);
  return { ...servers, ...(await greetedCall(servers.openai, servers.server, form)) };
}

/** Calls a tool in an active response. */
export function callTool(session: OpenAIPeer, name: string, args = '{}', response_id = 'r1'): void {
  const item = { id: 'f', type: 'function_call', status: 'completed', call_id: `call_${response_id}`, name };
  session.send({ type: 'response.output_item.done', response_id, item: { ...item, arguments: args } });
}

export function begin(session: OpenAIPeer, id: string): void {
  session.send({ type: 'response.created', response: { id } });
}

export function finish(session: OpenAIPeer, id: string, usage?: object): void {
  session.send({ type: 'response.done', response: { id, status: 'completed', usage } });
}
