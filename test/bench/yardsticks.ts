// What the relay is compared with, on its own Fastify and ws. The bare pipe passes messages on unread; the plain relay
// parses each, builds it anew, and marks each delta, as in twilio-samples/speech-assistant-openai-realtime-api-node.
import websocket from '@fastify/websocket';
import Fastify from 'fastify';
import { WebSocket } from 'ws';

const { PORT, HOST = '', OPENAI_REALTIME_URL = '' } = process.env;
const carry = process.argv[2] === 'bare pipe' ? barePipe : plainRelay;
const options = { perMessageDeflate: false };

const app = Fastify();
await app.register(websocket, { options });
app.get('/media-stream', { websocket: true }, (twilio) => {
  const openai = new WebSocket(OPENAI_REALTIME_URL, options);
  carry(twilio, openai);
  openai.on('error', console.error);
});
console.log(`Server listening at ${await app.listen({ port: Number(PORT), host: HOST })}`);

function barePipe(twilio: WebSocket, openai: WebSocket): void {
  twilio.on('message', (data) => {
    if (openai.readyState === WebSocket.OPEN) openai.send(data, { binary: false });
  });
  openai.on('message', (data) => twilio.send(data, { binary: false }));
}

function plainRelay(twilio: WebSocket, openai: WebSocket): void {
  const marks: string[] = [];
  let streamSid = '';

  function tell(socket: WebSocket, message: object): void {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  }

  openai.on('open', () => {
    const format = { type: 'audio/pcmu' };
    tell(openai, { type: 'session.update', session: { audio: { input: { format }, output: { format } } } });
  });
  openai.on('message', (data) => {
    const event = JSON.parse(data.toString());
    if (event.type !== 'response.output_audio.delta') return;
    tell(twilio, { event: 'media', streamSid, media: { payload: event.delta } });
    tell(twilio, { event: 'mark', streamSid, mark: { name: 'responsePart' } });
    marks.push('responsePart');
  });
  twilio.on('message', (data) => {
    const { event, start, media } = JSON.parse(data.toString());
    if (event === 'media') tell(openai, { type: 'input_audio_buffer.append', audio: media.payload });
    if (event === 'start') streamSid = start.streamSid;
    if (event === 'mark') marks.shift();
  });
}
