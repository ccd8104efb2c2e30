import { onTestFinished } from 'vitest';
import type { Assistant } from '../../src/contract.ts';
import { dialStream, FakeOpenAI, type OpenAIPeer, readyCall, type TwilioPeer } from './peers.ts';
import { TestServer } from './server.ts';

interface Servers {
  openai: FakeOpenAI;
  server: TestServer;
}

interface TestCall extends Servers {
  twilio: TwilioPeer;
  session: OpenAIPeer;
}

/** A server and its fake OpenAI, which may refuse handshakes. Both close after the test. */
export async function startServer(
  env: Record<string, string> = {},
  refuse?: Parameters<typeof FakeOpenAI.listen>[0],
  assistant?: Assistant,
): Promise<Servers> {
  const openai = await FakeOpenAI.listen(refuse);
  onTestFinished(() => openai.close());
  return { openai, server: await startServerAt(openai.url, env, assistant) };
}

/** A server that dials `url`. */
export async function startServerAt(
  url: string,
  env: Record<string, string> = {},
  assistant?: Assistant,
): Promise<TestServer> {
  const server = await TestServer.start({ OPENAI_REALTIME_URL: url, ...env }, assistant);
  onTestFinished(() => server.app.close());
  return server;
}

/** A call whose stream has started. */
export async function startCall({ origin }: TestServer): Promise<TwilioPeer> {
  const twilio = await dialStream(origin);
  twilio.start();
  return twilio;
}

/** A call to a server of its own, up to the dial of its session. */
export async function dialledCall(env: Record<string, string> = {}): Promise<TestCall> {
  const { openai, server } = await startServer(env);
  return { openai, server, twilio: await startCall(server), session: await openai.dialled() };
}

/** A call to a server of its own, up to the request for its greeting. */
export async function liveCall(env: Record<string, string> = {}): Promise<TestCall> {
  const { openai, server } = await startServer(env);
  return { openai, server, ...(await readyCall(openai, server.origin)) };
}
