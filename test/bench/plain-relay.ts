// The sample's way to relay: every message parsed and built anew, a mark for each delta, and no timers.
// https://github.com/twilio-samples/speech-assistant-openai-realtime-api-node, with today's names of events.
import { WebSocket } from 'ws';
import { serve } from './yardstick.ts';

await serve((twilio, openai) => {
  const marks: string[] = [];
  let streamSid = '';
  let timestamp = 0;
  let replyBegan: number | undefined;
  let lastItem: string | undefined;

  function tell(socket: WebSocket, message: object): void {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  }

  openai.on('open', () => {
    const format = { type: 'audio/pcmu' };
    const input = { format, turn_detection: { type: 'server_vad' } };
    const session = { type: 'realtime', audio: { input, output: { format, voice: 'marin' } } };
    tell(openai, { type: 'session.update', session });
  });

  openai.on('message', (data) => {
    const event = JSON.parse(data.toString());
    if (event.type === 'response.output_audio.delta' && event.delta) {
      tell(twilio, { event: 'media', streamSid, media: { payload: event.delta } });
      replyBegan ??= timestamp;
      if (event.item_id) lastItem = event.item_id;
      tell(twilio, { event: 'mark', streamSid, mark: { name: 'responsePart' } });
      marks.push('responsePart');
    }
    if (event.type === 'input_audio_buffer.speech_started' && marks.length > 0 && replyBegan !== undefined) {
      const audio_end_ms = timestamp - replyBegan;
      tell(openai, { type: 'conversation.item.truncate', item_id: lastItem, content_index: 0, audio_end_ms });
      tell(twilio, { event: 'clear', streamSid });
      marks.length = 0;
      lastItem = undefined;
      replyBegan = undefined;
    }
  });

  twilio.on('message', (data) => {
    const message = JSON.parse(data.toString());
    switch (message.event) {
      case 'media':
        timestamp = message.media.timestamp;
        tell(openai, { type: 'input_audio_buffer.append', audio: message.media.payload });
        break;
      case 'start':
        streamSid = message.start.streamSid;
        break;
      case 'mark':
        marks.shift();
        break;
    }
  });
});
