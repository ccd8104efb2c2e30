import { createServer } from 'node:http';
import net from 'node:net';
import { WebSocketServer } from 'ws';
import { seeded } from '../support/random.ts';
import { EPOCH, Party } from './clock.ts';
import { End, Line } from './line.ts';
import type { DialFault } from './script.ts';
import { Session } from './session.ts';
import type { World } from './world.ts';

export const OPENAI_HOST = 'openai.test';
const NETWORK = { delayMs: 20, jitterMs: 2 };

/** OpenAI's end of all sessions: turn detection, replies faster than real time, tools, and what goes wrong with them. */
export class OpenAI {
  readonly party = new Party('openai');
  readonly sessions: Session[] = [];
  /** All that were dialled. */
  readonly lines = new Set<Line>();
  readonly #meets = new Map<Line, DialFault>();
  readonly #world: World;
  readonly #connect = net.connect;

  constructor(world: World) {
    this.#world = world;
    const server = createServer();
    const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
    sockets.on('headers', (headers) => {
      headers.push(`Date: ${new Date(EPOCH + world.clock.now).toUTCString()}`);
    });
    server.on('upgrade', (request, socket, head) => {
      if (!(socket instanceof End)) return;
      const meets = this.#meets.get(socket.line);
      if (meets === '429' || meets === '503') return refuse(socket, meets);
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        const session = new Session(
          this.#world,
          this.party,
          webSocket,
          socket.line,
          this.sessions.length,
          meets,
        );
        this.sessions.push(session);
      });
    });
    // Where `ws` finds it when it dials.
    const connect = (options: { host?: string; port?: string | number; timeout?: number }) => {
      if (options.host !== OPENAI_HOST) throw new Error(`${options.host} is not in this world`);
      // The same whatever else is left out of the script.
      const random = seeded(world.script.seed + Math.floor(world.clock.now));
      const dialler = world.servers[Number(options.port) - 1];
      if (dialler === undefined) throw new Error(`nobody dials port ${options.port}`);
      const line = new Line(world.clock, dialler.party, this.party, { ...NETWORK, random });
      this.lines.add(line);
      const [near, far] = line.ends;
      if (options.timeout) near.setTimeout(options.timeout);
      const meets = world.dialFault();
      if (meets !== undefined) this.#meets.set(line, meets);
      if (meets === 'hanging') line.break();
      else if (meets === 'refused') line.reset();
      else server.emit('connection', far);
      return near;
    };
    Object.assign(net, { connect });
  }

  close(): void {
    Object.assign(net, { connect: this.#connect });
  }
}

function refuse(socket: End, status: string): void {
  const code = status === '429' ? 'rate_limit_exceeded' : 'server_error';
  const body = JSON.stringify({ error: { code, message: 'no' } });
  socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
}
