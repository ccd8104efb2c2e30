import { setTimeout as pause } from 'node:timers/promises';
import { isObject } from '../../src/wire/json.ts';

const PATIENCE_MS = 10_000;
const POLL_MS = 25;
/** Resolves in the page when it has been painted. */
const PAINTED = `document.fonts.ready.then(
  () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(true)))),
)`;

/** The window and the settings that a page is seen with. */
export interface Look {
  width: number;
  height: number;
  scheme: 'light' | 'dark';
  scale?: number;
  /** Whether the system sets the colours, as Windows does at high contrast. */
  isForced?: boolean;
}

/** One page, by a browser's protocol. */
export interface Tab {
  /** Errors and warnings of the console, and exceptions. */
  complaints: string[];
  /** Every address that was requested, sockets included. */
  requests: string[];
  /** Resolves with the value of `expression` in the page; rejects with what it throws. */
  evaluate(expression: string): Promise<unknown>;
  /** Sets as much of the look as the browser can. */
  look(look: Look): Promise<unknown>;
  press(key: string): Promise<unknown>;
  clickAt(x: number, y: number): Promise<unknown>;
  /** Resolves with a PNG in base64, of the page's whole length if the browser can. */
  capture(): Promise<unknown>;
}

/** One page, as its visitor uses it. */
export class Page {
  readonly tab: Tab;

  constructor(tab: Tab) {
    this.tab = tab;
  }

  evaluate(expression: string): Promise<unknown> {
    return this.tab.evaluate(expression);
  }

  /** The text of the element that has this id. */
  async text(id: string): Promise<string> {
    return String(await this.evaluate(`document.getElementById('${id}').innerText`));
  }

  /** Resolves when `expression` is true; rejects if that takes too long. */
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
      return { x: Math.round(x + width / 2), y: Math.round(y + height / 2) };
    })()`);
    if (isObject(middle)) await this.tab.clickAt(Number(middle.x), Number(middle.y));
  }

  async picture(): Promise<Buffer> {
    await this.evaluate(PAINTED);
    return Buffer.from(String(await this.tab.capture()), 'base64');
  }
}

/** A click, as both WebDrivers take it. */
export function click(x: number, y: number): { actions: unknown[] } {
  const press = ['pointerDown', 'pointerUp'].map((type) => ({ type, button: 0 }));
  return input('pointer', { type: 'pointerMove', x, y }, ...press);
}

/** A key pressed and released, as both WebDrivers take it. */
export function keystroke(value: string): { actions: unknown[] } {
  return input('key', { type: 'keyDown', value }, { type: 'keyUp', value });
}

function input(type: string, ...actions: unknown[]): { actions: unknown[] } {
  return { actions: [{ type, id: type, actions }] };
}
