import type { WebSocket } from 'ws';
import { audioMs } from '../../src/wire/audio.ts';
import type { Call } from './call.ts';
import { EPOCH, type Party } from './clock.ts';
import type { Debt, Item, Response, ToolCall } from './facts.ts';
import type { Line } from './line.ts';
import type { DialFault, Reply } from './script.ts';
import { framesIn, voice } from './voice.ts';
import { SECRET, type World } from './world.ts';

const SILENCE_ENDS_TURN_MS = 500;
/** How much faster than it is heard audio is generated, and how long a delta is, in ms. */
const PACE = 8;
const DELTA_MS = 400;
const UPDATE_MS = 70;
const APPEND = /^\{"type":"input_audio_buffer\.append","audio":"([^"]*)"\}$/;
const DEFAULT_REPLY: Reply = { ms: 800, thinkMs: 200 };

interface SessionConfig {
  instructions: string;
  audio: { input: { turn_detection: { idle_timeout_ms?: number } } };
}

/** One session, as OpenAI knows it. */
export class Session {
  readonly number: number;
  readonly line: Line;
  readonly server: Party;
  call: Call | undefined;
  readyAt: number | undefined;
  /** When its end began, and whether the server's side was first to know. */
  lostAt: number | undefined;
  /** Since when it doesn't get all that it is sent. */
  deafAt: number | undefined;
  /** Whether it was told something about the call. */
  isBriefed = false;
  /** Whether the client closed it. */
  wasLeft = false;
  /** When it became its call's, and when its socket had closed. */
  boundAt: number | undefined;
  closedAt: number | undefined;
  /** The caller's frames that came, as numbers that `voice` holds, and when. */
  readonly frames: { stream: number; frame: number; isSpeech: boolean; at: number }[] = [];
  readonly creates: number[] = [];
  readonly items: Item[] = [];
  readonly toolCalls: ToolCall[] = [];
  readonly debts: Debt[] = [];
  /** When a turn of the caller's began and ended, and when responses began and were done. */
  readonly turns: { began: number; ended?: number }[] = [];
  readonly responses: { number: number; began: number; isEmpty: boolean; done?: number; status?: string }[] =
    [];
  /** When it asked by itself whether the caller is there, in which response. */
  readonly questions: { at: number; response: number }[] = [];
  readonly #world: World;
  readonly #party: Party;
  readonly #socket: WebSocket;
  readonly #meets: DialFault | undefined;
  #response: Response | undefined;
  #idleMs = 0;
  #silentMs = 0;
  #isSpeaking = false;
  #items = 0;

  constructor(world: World, party: Party, socket: WebSocket, line: Line, number: number, meets?: DialFault) {
    this.#world = world;
    this.#party = party;
    this.#socket = socket;
    this.#meets = meets;
    this.line = line;
    this.server = line.ends[0].party;
    this.number = number;
    this.#note(`dialled by ${this.server.name}${meets === undefined ? '' : `, ${meets}`}`);
    socket.on('error', () => {});
    socket.on('message', (data: Buffer) => this.#receive(data.toString('latin1')));
    socket.on('close', (code) => {
      this.closedAt = world.clock.now;
      this.wasLeft = this.lostAt === undefined && this.deafAt === undefined;
      this.lostAt ??= world.clock.now;
      this.#note(`closed ${code}`);
    });
    this.#begin();
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN && !this.line.isBroken;
  }

  /** Whether its call has begun to use it: one may be ready, and wait for a pause in which the other is left. */
  get isUsed(): boolean {
    return this.isBriefed || this.creates.length > 0 || this.frames.length > 0;
  }

  get isExpiring(): boolean {
    return this.#meets === 'expiring';
  }

  /** What goes wrong with it. */
  close(code: number): void {
    this.lostAt ??= this.#world.clock.now;
    if (code === 1006) this.#socket.terminate();
    else this.#socket.close(code, 'so it was written');
  }
  reset(): void {
    this.lostAt ??= this.#world.clock.now;
    this.line.reset();
  }
  break(): void {
    this.lostAt ??= this.#world.clock.now;
    this.deafAt ??= this.#world.clock.now;
    this.line.break();
  }
  hold(ms: number): void {
    this.deafAt ??= this.#world.clock.now;
    this.line.hold(ms);
  }
  stopReading(ms: number): void {
    this.deafAt ??= this.#world.clock.now;
    this.#socket.pause();
    this.#world.clock.schedule(ms, this.#party, 0, () => this.#socket.resume());
  }

  #begin(): void {
    const slowMs = this.#meets === 'slow' ? 3_000 : 300;
    if (this.#meets === 'never created') return;
    this.#later(slowMs, () => {
      if (this.#meets === 'invalid_api_key') {
        this.#error(this.#meets, `Incorrect API key provided: ${SECRET.key}.`);
        this.close(3000);
        return;
      }
      const leftMs = this.#meets === 'expiring' ? 45_000 : 3_600_000;
      const expires_at = Math.floor((EPOCH + this.#world.clock.now + leftMs) / 1_000);
      this.#send({ type: 'session.created', session: { id: `sess_${this.number}`, expires_at } });
    });
  }

  #receive(text: string): void {
    const [, audio] = APPEND.exec(text) ?? [];
    if (audio !== undefined) return this.#hear(audio);
    const event = JSON.parse(Buffer.from(text, 'latin1').toString());
    if (event.type !== 'session.update') this.#note(`gets ${describe(event)}`);
    switch (event.type) {
      case 'session.update':
        return this.#update(event.session);
      case 'response.create':
        return this.#create(event.response?.tool_choice !== 'none');
      case 'response.cancel':
        if (this.#response?.id === event.response_id) this.#finish('cancelled');
        else this.#error('response_cancel_not_active', 'Cancellation failed: no active response found');
        return;
      case 'conversation.item.truncate':
        return this.#truncate(event.item_id, event.audio_end_ms);
      case 'conversation.item.create':
        return this.#add(event.item);
      default:
        this.#error('invalid_value', `Invalid value: '${event.type}'.`);
    }
  }

  #update(session: SessionConfig): void {
    this.#idleMs = session.audio.input.turn_detection.idle_timeout_ms ?? 0;
    const sid = /CA\w+/.exec(session.instructions)?.[0];
    const call = this.#world.twilio.callOf(sid);
    if (call !== undefined && this.call === undefined) {
      call.sessions.push(this);
      this.boundAt = this.#world.clock.now;
    }
    this.call ??= call;
    this.#note(`is configured for ${this.call?.name ?? 'anybody'}`);
    this.#later(UPDATE_MS, () => {
      if (this.#meets === 'rejected update') return this.#error('unknown_parameter', 'no', 'session.voice');
      if (!this.line.isBroken) this.readyAt ??= this.#world.clock.now;
      this.#send({ type: 'session.updated', session });
    });
  }

  /** Detects the caller's turns. */
  #hear(audio: string): void {
    const frames = framesIn(audio);
    for (const [stream, frame, isSpeech] of frames) {
      this.frames.push({ stream, frame, isSpeech: isSpeech === 1, at: this.#world.clock.now });
    }
    if (frames.some(([, , isSpeech]) => isSpeech === 1)) {
      this.#silentMs = 0;
      if (!this.#isSpeaking) this.#turnBegins();
      return;
    }
    this.#silentMs += audioMs(audio);
    if (this.#isSpeaking && this.#silentMs >= SILENCE_ENDS_TURN_MS) this.#turnEnds();
  }

  #turnBegins(): void {
    this.#isSpeaking = true;
    this.turns.push({ began: this.#world.clock.now });
    this.#note('hears the caller begin');
    this.#send({ type: 'input_audio_buffer.speech_started' });
    this.#finish('cancelled');
  }

  #turnEnds(): void {
    this.#isSpeaking = false;
    const turn = this.turns.at(-1);
    if (turn !== undefined) turn.ended = this.#world.clock.now;
    this.#note('hears the caller end');
    this.#send({ type: 'input_audio_buffer.speech_stopped' });
    this.#userItem(SECRET.words);
    this.#respond();
  }

  /** What the caller said, and its transcription. */
  #userItem(transcript: string): void {
    const item_id = this.#itemAdded({ type: 'message', role: 'user' });
    this.#send({ type: 'conversation.item.input_audio_transcription.completed', item_id, transcript });
  }

  #create(mayUseTools: boolean): void {
    this.creates.push(this.#world.clock.now);
    this.#respond(mayUseTools);
  }

  #respond(mayUseTools = true): void {
    if (this.#response !== undefined) {
      const message = `Conversation already has an active response in progress: ${this.#response.id}.`;
      return this.#error('conversation_already_has_active_response', message);
    }
    const number = this.responses.length;
    const planned = this.call?.nextReply() ?? DEFAULT_REPLY;
    const reply = mayUseTools ? planned : DEFAULT_REPLY;
    const response: Response = { id: `resp_${this.number}_${number}`, number, reply, isDone: false };
    this.#response = response;
    const isEmpty = reply.ms === 0 && reply.tool === undefined;
    this.responses.push({ number, began: this.#world.clock.now, isEmpty });
    for (const debt of this.debts) debt.seenAt ??= this.#world.clock.now;
    this.#send({ type: 'response.created', response: { id: response.id } });
    this.#note(`begins ${response.id} of ${reply.ms} ms${reply.tool ? `, ${reply.tool}` : ''}`);
    this.#generate(response, reply.thinkMs, () => this.#think(response));
  }

  #think(response: Response): void {
    const { fails, ms } = response.reply;
    if (fails?.includes('_')) return this.#finish('failed', fails);
    if (ms === 0) return this.#callTool(response);
    const number = this.items.length;
    const item = { id: this.#itemAdded({ type: 'message', role: 'assistant' }), number, ms: 0 };
    response.item = { ...item, response: response.number, lastAt: this.#world.clock.now };
    this.items.push(response.item);
    this.#speak(response, response.item);
  }

  #speak(response: Response, item: Item): void {
    const { ms, fails } = response.reply;
    const half = item.ms >= ms / 2;
    if (half && fails === 'resets') return this.reset();
    if (half && fails === 'closes') return this.close(1011);
    if (half && fails === 'hangs') return;
    if (half && fails === 'incomplete') return this.#finish('incomplete');
    const delta = Math.min(DELTA_MS, ms - item.ms);
    if (delta === 0) return this.#callTool(response);
    const ids = { event_id: 'event_1', response_id: response.id, item_id: item.id };
    const places = { output_index: 0, content_index: 0 };
    const audio = voice([this.number, item.number, response.number, item.ms], delta);
    item.ms += delta;
    item.lastAt = this.#world.clock.now;
    this.#send({ type: 'response.output_audio_transcript.delta', item_id: item.id, delta: SECRET.words });
    this.#send({ type: 'response.output_audio.delta', ...ids, ...places, delta: audio });
    this.#generate(response, delta / PACE, () => this.#speak(response, item));
  }

  #callTool(response: Response): void {
    const { tool } = response.reply;
    if (tool !== undefined) {
      const id = this.#world.nextToolCall();
      const name = tool === 'garbled' ? 'quick' : tool;
      const json = tool === 'garbled' ? '{"id": ' : JSON.stringify({ id, pin: SECRET.words });
      const item = { type: 'function_call', status: 'completed', call_id: `call_${id}`, name };
      const { began: since = 0 } = this.responses[response.number] ?? {};
      const { now: at } = this.#world.clock;
      this.toolCalls.push({ id, callId: item.call_id, name: tool, at, since, answers: 0 });
      this.#itemAdded({ type: 'function_call' });
      const done = { type: 'response.output_item.done', response_id: response.id };
      this.#send({ ...done, item: { ...item, id: `item_f${id}`, arguments: json } });
    }
    this.#finish('completed');
  }

  #finish(status: string, code?: string): void {
    const response = this.#response;
    if (response === undefined) return;
    this.#response = undefined;
    response.isDone = true;
    Object.assign(this.responses[response.number] ?? {}, { done: this.#world.clock.now, status });
    // Now and then longer than a silent caller is left in peace.
    const seconds = response.number % 2 === 0 ? 1 : 4;
    const error = code === undefined ? undefined : { code, message: `Please try again in ${seconds}s.` };
    const details = status === 'incomplete' ? { reason: 'max_output_tokens' } : error && { error };
    const { id, number } = response;
    const output = this.responses[number]?.isEmpty ? [] : [{}];
    this.#send({
      type: 'response.done',
      response: { id, status, output, ...(details && { status_details: details }) },
    });
    this.#note(`ends ${response.id}: ${code ?? status}`);
    if (this.#idleMs > 0) this.#later(this.#idleMs + (response.item?.ms ?? 0), () => this.#idle(number));
  }

  /** Asks whether the caller is there, if nothing has happened since a response. */
  #idle(number: number): void {
    if (number !== this.responses.length - 1 || this.#isSpeaking) return;
    this.questions.push({ at: this.#world.clock.now, response: this.responses.length });
    this.#note('asks whether the caller is there');
    this.#send({ type: 'input_audio_buffer.timeout_triggered' });
    const content = [{ type: 'input_text', text: 'No user speech was detected for a while.' }];
    this.#itemAdded({ type: 'message', role: 'system', content });
    this.#userItem('');
    this.#respond();
  }

  #truncate(itemId: string, ms: number): void {
    const item = this.items.find(({ id }) => id === itemId);
    if (item === undefined) return this.#error('invalid_value', 'Only model output audio can be truncated');
    if (ms > item.ms) return this.#error('invalid_value', `Audio content is already shorter than ${ms}ms`);
    if (item.toldMs !== undefined) this.#world.object(`${itemId} is truncated twice`);
    item.toldMs ??= ms;
    item.toldAt ??= this.#world.clock.now;
  }

  #add(item: { type: string; role?: string; call_id?: string; content?: { text: string }[] }): void {
    const now = this.#world.clock.now;
    const called = this.toolCalls.find(({ callId }) => callId === item.call_id);
    if (item.type === 'function_call_output') {
      if (called === undefined) this.#world.object(`an output for ${item.call_id}, which was not called`);
      else called.answers += 1;
    }
    if (item.role === 'system') {
      this.isBriefed = true;
      // What came before is history.
      if (this.responses.length === 0 && this.creates.length === 0) this.debts.length = 0;
    } else if (called !== undefined || item.content?.[0]?.text.includes('on the keypad')) {
      this.debts.push({ at: now, ...(item.call_id !== undefined && { callId: item.call_id }) });
    }
    this.#itemAdded({ type: item.type, role: item.role, content: item.content });
  }

  #itemAdded(item: object): string {
    this.#items += 1;
    const id = `item_${this.number}_${this.#items}`;
    this.#send({ type: 'conversation.item.added', previous_item_id: null, item: { id, ...item } });
    return id;
  }

  #generate(response: Response, ms: number, act: () => void): void {
    this.#later(ms, () => response.isDone || act());
  }

  #later(ms: number, act: () => void): void {
    this.#world.clock.schedule(ms, this.#party, 0, () => {
      if (this.#socket.readyState === this.#socket.OPEN) act();
    });
  }

  #error(code: string, message: string, param: string | null = null): void {
    if (code === 'invalid_value') this.#world.object(`session ${this.number}: ${message}`);
    this.#note(`says ${code}`);
    this.#send({ type: 'error', error: { code, message, param } });
  }

  #send(event: object): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(JSON.stringify(event));
  }

  #note(text: string): void {
    this.#world.note(`session ${this.number}`, text);
  }
}

function describe({ type, item, item_id, audio_end_ms }: Record<string, unknown>): string {
  return [type, item_id, audio_end_ms, item && JSON.stringify(item).slice(0, 60)].filter(Boolean).join(' ');
}
