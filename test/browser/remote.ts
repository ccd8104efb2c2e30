import { once } from 'node:events';
import { WebSocket } from 'ws';
import { isObject, type JsonObject, parseObject } from '../../src/wire/json.ts';

/** A connection to a browser. */
export interface Remote {
  /** Sends a command, to a session if one is given; resolves with the result, and rejects with the browser's error. */
  send(method: string, params?: JsonObject, sessionId?: string): Promise<JsonObject>;
  /** Called with each event, such as `Network.requestWillBeSent`. */
  onEvent(method: unknown, params: JsonObject): void;
}

/**
 * Connects by the DevTools protocol or by WebDriver BiDi, whose messages have the same form:
 * https://chromedevtools.github.io/devtools-protocol, https://www.w3.org/TR/webdriver-bidi
 */
export async function connect(url: string): Promise<Remote> {
  const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload: 64 * 1024 * 1024 });
  const waiting: ((answer: JsonObject) => void)[] = [];
  await once(socket, 'open');
  const remote: Remote = {
    async send(method, params = {}, sessionId) {
      const answered = new Promise<JsonObject>((resolve) => waiting.push(resolve));
      socket.send(JSON.stringify({ id: waiting.length - 1, method, params, sessionId }));
      const { result, ...trouble } = await answered;
      if (isObject(result)) return result;
      throw new Error(`${method}: ${JSON.stringify(trouble)}`);
    },
    onEvent() {},
  };
  socket.on('message', (data) => {
    const message = parseObject(String(data)) ?? {};
    if (isObject(message.params)) remote.onEvent(message.method, message.params);
    else waiting[Number(message.id)]?.(message);
  });
  return remote;
}
