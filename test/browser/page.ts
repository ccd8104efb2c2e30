import { setTimeout as pause } from 'node:timers/promises';
import { isObject, type JsonObject } from '../../src/wire/json.ts';
import type { DevTools, DevToolsEvent } from './devtools.ts';

const PATIENCE_MS = 10_000;
const POLL_MS = 25;
/** Resolves in the page when what there is to see has been painted. */
const PAINTED = `document.fonts.ready.then(
  () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(true)))),
)`;

/** How a page is looked at. */
export interface Look {
  width: number;
  height: number;
  scheme: 'light' | 'dark';
  scale?: number;
  /** Whether the system says which colours there are, as Windows does at high contrast. */
  isForced?: boolean;
}

/** One page of a browser: what a visitor does and sees, and what the browser has against it. */
export class Page {
  readonly #devTools: DevTools;
  readonly #sessionId: string;
  /** What the console was told as an error or a warning, and what was thrown. */
  readonly complaints: string[] = [];
  /** Every address that was asked for, sockets included. */
  readonly requests: string[] = [];

  /** Opens a page at `url`, in which `script` has run before its own. */
  static async open(devTools: DevTools, url: string, look: Look, script = ''): Promise<Page> {
    const { targetId } = await devTools.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await devTools.send('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page(devTools, String(sessionId));
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await page.#send(`${domain}.enable`);
    await page.#send('Page.addScriptToEvaluateOnNewDocument', { source: script });
    await page.look(look);
    await page.#send('Page.navigate', { url });
    await page.until(`document.readyState === 'complete'`);
    return page;
  }

  constructor(devTools: DevTools, sessionId: string) {
    this.#devTools = devTools;
    this.#sessionId = sessionId;
    devTools.onEvent((event) => {
      if (event.sessionId === sessionId) this.#onEvent(event);
    });
  }

  async look({ width, height, scheme, scale = 1, isForced = false }: Look): Promise<void> {
    const metrics = { width, height, deviceScaleFactor: scale, mobile: false };
    await this.#send('Emulation.setDeviceMetricsOverride', metrics);
    const features = [
      { name: 'prefers-color-scheme', value: scheme },
      { name: 'forced-colors', value: isForced ? 'active' : 'none' },
    ];
    await this.#send('Emulation.setEmulatedMedia', { features });
  }

  /** What `expression` is in the page; throws what it throws. */
  async evaluate(expression: string): Promise<unknown> {
    const options = { expression, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = await this.#send('Runtime.evaluate', options);
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return isObject(result) ? result.value : undefined;
  }

  /** The text of the element that has this id. */
  async text(id: string): Promise<string> {
    return String(await this.evaluate(`document.getElementById('${id}').innerText`));
  }

  /** Resolves when `expression` is true; throws if that takes too long. */
  async until(expression: string, ms = PATIENCE_MS): Promise<void> {
    const deadline = performance.now() + ms;
    while ((await this.evaluate(expression)) !== true) {
      if (performance.now() > deadline) throw new Error(`In ${ms} ms it never was: ${expression}`);
      await pause(POLL_MS);
    }
  }

  /** Clicks in the middle of what `selector` finds, with the mouse. */
  async click(selector: string): Promise<void> {
    const middle = await this.evaluate(`(() => {
      const found = document.querySelector(${JSON.stringify(selector)});
      found.scrollIntoView({ block: 'nearest' });
      const { x, y, width, height } = found.getBoundingClientRect();
      return { x: x + width / 2, y: y + height / 2 };
    })()`);
    const where = { ...(isObject(middle) ? middle : {}), button: 'left', clickCount: 1 };
    await this.#send('Input.dispatchMouseEvent', { type: 'mousePressed', ...where });
    await this.#send('Input.dispatchMouseEvent', { type: 'mouseReleased', ...where });
  }

  async press(key: string): Promise<void> {
    await this.#send('Input.dispatchKeyEvent', { type: 'keyDown', key, text: key });
    await this.#send('Input.dispatchKeyEvent', { type: 'keyUp', key });
  }

  /** A picture of the page in PNG, of its whole length if `height` isn't given. */
  async picture(height?: number): Promise<Buffer> {
    await this.evaluate(PAINTED);
    const size = await this.evaluate(
      `({ width: innerWidth, height: document.documentElement.scrollHeight })`,
    );
    const clip = { x: 0, y: 0, scale: 1, ...(isObject(size) ? size : {}), ...(height && { height }) };
    const { data } = await this.#send('Page.captureScreenshot', { clip, captureBeyondViewport: true });
    return Buffer.from(String(data), 'base64');
  }

  #send(method: string, params: JsonObject = {}): Promise<JsonObject> {
    return this.#devTools.send(method, params, this.#sessionId);
  }

  #onEvent({ method, params }: DevToolsEvent): void {
    const { request, url, entry, type, args, exceptionDetails } = params;
    if (method === 'Network.requestWillBeSent' && isObject(request)) this.requests.push(String(request.url));
    if (method === 'Network.webSocketCreated') this.requests.push(String(url));
    if (method === 'Log.entryAdded' && isObject(entry) && entry.level !== 'info') {
      this.complaints.push(`${entry.level}: ${entry.text} (${entry.url})`);
    }
    if (method === 'Runtime.consoleAPICalled' && (type === 'error' || type === 'warning')) {
      this.complaints.push(`${type}: ${JSON.stringify(args)}`);
    }
    if (method === 'Runtime.exceptionThrown') this.complaints.push(JSON.stringify(exceptionDetails));
  }
}
