import { BYTES_PER_MS, isAudio } from '../../src/wire/audio.ts';
import type { Conversation, Host } from './conversation.ts';
import { Ear, type Heard } from './ear.ts';
import { type ApiError, newId, type SessionConfig, voiceActivity } from './session-config.ts';

const MIN_COMMIT_MS = 100;

/** The input audio buffer of a session: takes what the client appends, and finds the turns in it. */
export class InputBuffer {
  /** How many appends came while the session still read them as PCM. */
  audioBeforeReady = 0;
  readonly #host: Host;
  readonly #conversation: Conversation;
  readonly #answers: boolean;
  readonly #ear: Ear;
  readonly #appended: Uint8Array[] = [];
  #turnId = '';

  /** Unless it `answers`, turns are taken but never replied to. */
  constructor(host: Host, conversation: Conversation, answers: boolean) {
    this.#host = host;
    this.#conversation = conversation;
    this.#answers = answers;
    this.#ear = new Ear(voiceActivity(host.config));
  }

  /** The mu-law that was appended once the session was ready for it. */
  get audio(): Uint8Array {
    return Buffer.concat(this.#appended);
  }

  /** Whether the user is in the middle of a turn. */
  get speaking(): boolean {
    return this.#ear.speaking;
  }

  /** Finds turns as `session` says from now on. */
  configure(session: SessionConfig): void {
    this.#ear.vad = voiceActivity(session);
  }

  /** Obeys input_audio_buffer.append. */
  append(audio: unknown): ApiError | undefined {
    if (!isAudio(audio)) {
      const message = "Invalid 'audio'. Expected base64-encoded audio bytes.";
      return { code: 'invalid_value', message, param: 'audio' };
    }
    if (this.#host.config.audio.input.format.type !== 'audio/pcmu') {
      this.audioBeforeReady += 1;
      return undefined;
    }
    const bytes = Buffer.from(audio, 'base64');
    this.#appended.push(bytes);
    for (const heard of this.#ear.hear(bytes)) this.#notice(heard);
    return undefined;
  }

  /** Obeys input_audio_buffer.commit. */
  commit(): ApiError | undefined {
    const words = this.#ear.take();
    const ms = words.length / BYTES_PER_MS;
    if (ms < MIN_COMMIT_MS) {
      const message = `Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but buffer only has ${ms.toFixed(2)}ms of audio.`;
      return { code: 'input_audio_buffer_commit_empty', message };
    }
    this.#conversation.addTurn(newId('item'), words);
    return undefined;
  }

  /** Obeys input_audio_buffer.clear. */
  clear(): void {
    this.#ear.take();
    this.#host.send({ type: 'input_audio_buffer.cleared' });
  }

  #notice(heard: Heard): void {
    const turns = this.#host.config.audio.input.turn_detection;
    if (heard.type === 'started') {
      const { audioStartMs } = heard;
      this.#turnId = newId('item');
      const times = { audio_start_ms: audioStartMs, item_id: this.#turnId };
      this.#host.send({ type: 'input_audio_buffer.speech_started', ...times });
      this.#host.report({ type: 'speech-started', audioStartMs });
      if (turns?.interrupt_response !== false) this.#conversation.cancel('turn_detected');
      return;
    }
    const { audioEndMs, words } = heard;
    const times = { audio_end_ms: audioEndMs, item_id: this.#turnId };
    this.#host.send({ type: 'input_audio_buffer.speech_stopped', ...times });
    this.#host.report({ type: 'speech-stopped', audioEndMs, turnMs: words.length / BYTES_PER_MS });
    this.#conversation.addTurn(this.#turnId, words);
    if (turns?.create_response !== false && this.#answers) this.#conversation.answer(words);
  }
}
