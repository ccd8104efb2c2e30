import { EventEmitter, once } from 'node:events';
import { WebSocket } from 'ws';
import { isObject, type JsonObject, parseObject } from '../../src/wire/json.ts';

/** An event of one page's, such as `Network.requestWillBeSent`. */
export interface DevToolsEvent {
  method: string;
  params: JsonObject;
  sessionId: unknown;
}

/** A browser's end of the DevTools protocol: https://chromedevtools.github.io/devtools-protocol */
export class DevTools {
  readonly #socket: WebSocket;
  readonly #events = new EventEmitter<{ event: [DevToolsEvent] }>();
  readonly #waiting = new Map<
    unknown,
    { resolve: (result: JsonObject) => void; reject: (error: Error) => void }
  >();
  #id = 0;

  static async connect(url: string): Promise<DevTools> {
    const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload: 64 * 1024 * 1024 });
    await once(socket, 'open');
    return new DevTools(socket);
  }

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data) => this.#receive(parseObject(String(data)) ?? {}));
  }

  /** Sends a command, to a page if one is given; resolves with the result, and rejects with what was wrong. */
  send(method: string, params: JsonObject = {}, sessionId?: string): Promise<JsonObject> {
    this.#id += 1;
    const id = this.#id;
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject: (error) => reject(new Error(`${method}: ${error.message}`)) });
    });
  }

  onEvent(listener: (event: DevToolsEvent) => void): void {
    this.#events.on('event', listener);
  }

  #receive({ id, result, error, method, params, sessionId }: JsonObject): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (isObject(error)) waiting?.reject(new Error(String(error.message)));
    else if (isObject(result)) waiting?.resolve(result);
    if (typeof method === 'string' && isObject(params))
      this.#events.emit('event', { method, params, sessionId });
  }
}
