// The floor of this stack: the same Fastify and ws as the relay, and messages passed on unread.
import { WebSocket } from 'ws';
import { serve } from './yardstick.ts';

await serve((twilio, openai) => {
  twilio.on('message', (data) => {
    if (openai.readyState === WebSocket.OPEN) openai.send(data, { binary: false });
  });
  openai.on('message', (data) => twilio.send(data, { binary: false }));
});
