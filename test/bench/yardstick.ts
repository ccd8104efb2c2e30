import websocket from '@fastify/websocket';
import Fastify from 'fastify';
import { WebSocket } from 'ws';

const { PORT, OPENAI_REALTIME_URL = '' } = process.env;
const options = { perMessageDeflate: false, closeTimeout: 2_000, maxPayload: 65_536 };

/** Serves streams with the relay's own Fastify and ws: gives each to `carry` with a socket to OpenAI, and closes both together. */
export async function serve(carry: (twilio: WebSocket, openai: WebSocket) => void): Promise<void> {
  const app = Fastify();
  await app.register(websocket, { options });
  app.get('/media-stream', { websocket: true }, (twilio) => {
    const openai = new WebSocket(OPENAI_REALTIME_URL, options);
    carry(twilio, openai);
    twilio.on('close', () => openai.close());
    openai.on('close', () => twilio.close());
    openai.on('error', console.error);
  });
  await app.listen({ port: Number(PORT), host: '127.0.0.1' });
}
