// @ts-check

/** The microphone's settings: a browser's, or a telephone's, which cleans nothing up. */
const CLEANED = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const RAW = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
/** The audio left in the earpiece when the other side hangs up, in ms. */
const LAST_WORDS_MS = 200;
/** Without a loudspeaker Firefox's `resume` never settles; with one it takes some 100 ms. */
const RESUME_MS = 3_000;

const NO_MICROPHONE = 'There is no microphone. Connect one, and call again.';
const BUSY = 'The microphone is in use by another program, or switched off. Free it, and call again.';
/**
 * What the page says, by the name of the error.
 *
 * @type {Record<string, string>}
 */
const TROUBLES = {
  NotAllowedError: 'The microphone was refused. Allow it for this page, next to the address, and call again.',
  NotFoundError: NO_MICROPHONE,
  // WebKitGTK, when there is no microphone.
  OverconstrainedError: NO_MICROPHONE,
  NotReadableError: BUSY,
  // Firefox, when the microphone doesn't start.
  AbortError: BUSY,
  // These two are thrown below.
  SecurityError: 'This browser gives a page no microphone here. Open it at http://127.0.0.1.',
  TimeoutError: 'This browser has no loudspeaker or headphones to play to. Connect some, and call again.',
};

/**
 * @typedef {object} Listener
 * @property {(level: number, heard: Int16Array) => void} onMoment every 20 ms of the call
 * @property {(message: any) => void} onMessage with each text of the handset's
 * @property {() => void} onLost when the line to `npm run phone` is lost
 */

/** A microphone, an earpiece and a line; made by `lift`. */
export class Telephone {
  #context;
  #microphone;
  #node;
  /** @type {WebSocket | undefined} */
  #socket;
  isMuted = false;

  /**
   * Takes the microphone and the loudspeaker; `whyNoCall` explains what it throws.
   *
   * @param {boolean} isRaw
   */
  static async lift(isRaw) {
    // Made before the first await: browsers let a page play sound only in answer to a click.
    const context = new AudioContext({ latencyHint: 'interactive' });
    /** @type {MediaStream | undefined} */
    let microphone;
    try {
      microphone = await takeMicrophone(isRaw ? RAW : CLEANED);
      await context.audioWorklet.addModule('/worklet.js');
      await resume(context);
      return new Telephone(context, microphone);
    } catch (error) {
      release(microphone, context);
      throw error;
    }
  }

  /**
   * @param {AudioContext} context
   * @param {MediaStream} microphone
   */
  constructor(context, microphone) {
    this.#context = context;
    this.#microphone = microphone;
    this.#node = new AudioWorkletNode(context, 'telephone', {
      numberOfInputs: 1,
      numberOfOutputs: 1,
      outputChannelCount: [1],
      channelCount: 1,
      channelCountMode: 'explicit',
    });
    context.createMediaStreamSource(microphone).connect(this.#node).connect(context.destination);
  }

  /** @param {Listener} listener */
  dial({ onMoment, onMessage, onLost }) {
    const { port } = this.#node;
    const socket = new WebSocket(`ws://${location.host}/call`);
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    let isOver = false;
    port.onmessage = ({ data }) => {
      if (!this.isMuted && socket.readyState === WebSocket.OPEN) socket.send(data);
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === 'string') {
        const message = JSON.parse(data);
        isOver ||= message.type === 'over';
        onMessage(message);
        return;
      }
      const [level = 0, ...heard] = new Int16Array(data);
      const samples = Int16Array.from(heard);
      onMoment(level, samples);
      port.postMessage(samples.buffer, [samples.buffer]);
    };
    socket.onclose = () => {
      if (!isOver) onLost();
      setTimeout(() => this.putDown(), LAST_WORDS_MS);
    };
  }

  /** @param {string} digits of 0 to 9, * and # */
  press(digits) {
    this.#tell({ type: 'press', digits });
  }

  /** Stops at once; the handset's last message follows. */
  hangUp() {
    this.#tell({ type: 'hang-up' });
    this.putDown();
  }

  /** Frees the microphone and the loudspeaker. */
  putDown() {
    this.#node.disconnect();
    release(this.#microphone, this.#context);
  }

  /** @param {object} message */
  #tell(message) {
    const socket = this.#socket;
    const text = JSON.stringify(message);
    if (socket?.readyState === WebSocket.CONNECTING) socket.addEventListener('open', () => socket.send(text));
    if (socket?.readyState === WebSocket.OPEN) socket.send(text);
  }
}

/**
 * Returns what the page says when an error keeps it from calling.
 *
 * @param {unknown} error
 */
export function whyNoCall(error) {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return TROUBLES[name] ?? `This browser can't place the call: ${message}.`;
}

/** @param {MediaTrackConstraints} audio */
function takeMicrophone(audio) {
  // Browsers have no devices for a page from elsewhere without TLS.
  if (navigator.mediaDevices === undefined) throw new DOMException('', 'SecurityError');
  return navigator.mediaDevices.getUserMedia({ audio });
}

/** @param {AudioContext} context */
function resume(context) {
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new DOMException('', 'TimeoutError')), RESUME_MS);
    context.resume().then(resolve, reject);
  });
}

/**
 * @param {MediaStream | undefined} microphone
 * @param {AudioContext} context
 */
function release(microphone, context) {
  for (const track of microphone?.getTracks() ?? []) track.stop();
  if (context.state !== 'closed') void context.close();
}
