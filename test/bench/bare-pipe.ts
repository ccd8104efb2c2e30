// The floor of this stack: the same Fastify and ws as the relay, and messages passed on unread.
import websocket from '@fastify/websocket';
import Fastify from 'fastify';
import { WebSocket } from 'ws';

const { PORT, OPENAI_REALTIME_URL = '' } = process.env;
const options = { perMessageDeflate: false, closeTimeout: 2_000, maxPayload: 65_536 };

const app = Fastify();
await app.register(websocket, { options });
app.get('/media-stream', { websocket: true }, (twilio) => {
  const openai = new WebSocket(OPENAI_REALTIME_URL, options);
  twilio.on('message', (data) => {
    if (openai.readyState === WebSocket.OPEN) openai.send(data, { binary: false });
  });
  openai.on('message', (data) => twilio.send(data, { binary: false }));
  twilio.on('close', () => openai.close());
  openai.on('close', () => twilio.close());
  openai.on('error', console.error);
});
await app.listen({ port: Number(PORT), host: '127.0.0.1' });
