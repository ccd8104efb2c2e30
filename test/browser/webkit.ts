import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { isObject, type JsonObject, parseObject } from '../../src/wire/json.ts';
import { portOf } from '../support/port.ts';
import { type Browser, startProgram } from './browser.ts';
import { click, keystroke, type Look, type Tab } from './page.ts';
import { SOUND_PROGRAMS, speak, startSound } from './sound.ts';

const POLL_MS = 50;

/** WebKitGTK's MiniBrowser, by WebDriver: https://www.w3.org/TR/webdriver2 */
export const webKit: Browser = {
  name: 'WebKitGTK',
  programs: [['WebKitWebDriver'], ['Xvfb'], ...SOUND_PROGRAMS],
  packages: 'webkit2gtk-driver xvfb pulseaudio gstreamer1.0-pulseaudio',
  misses: ['no microphone'],
  async start(devices, wav, after) {
    const env = await startSound(devices, after);
    const display = await startProgram(
      after,
      ['Xvfb'],
      ['-displayfd', '1', '-nolisten', 'tcp'],
      env,
      /^(\d+)$/,
    );
    const port = await freePort();
    await startProgram(after, ['WebKitWebDriver'], [`--port=${port}`], { ...env, DISPLAY: `:${display}` });
    const { sessionId, capabilities } = await newSession(`http://127.0.0.1:${port}/session`);
    const session = `http://127.0.0.1:${port}/session/${sessionId}`;
    after(() => command('DELETE', session));
    const version = `WebKitGTK ${isObject(capabilities) && capabilities.browserVersion}`;
    return { version, open: (...args) => openTab(session, ...args), speak: () => speak(wav, env, after) };
  },
};

/** Retries, as the driver doesn't say when it listens. */
async function newSession(url: string): Promise<JsonObject> {
  for (;;) {
    const session = await command('POST', url, { capabilities: {} }).catch(() => undefined);
    if (isObject(session)) return session;
    await pause(POLL_MS);
  }
}

async function openTab(session: string, url: string, first: Look, script: string): Promise<Tab> {
  const post = (path: string, body: JsonObject) => command('POST', `${session}/${path}`, body);
  const run = (kind: string, text: string) => post(`execute/${kind}`, { script: text, args: [] });
  const tab: Tab = {
    complaints: [],
    requests: [],
    evaluate: (expression) => run('async', `(async () => arguments[0](await ${expression}))()`),
    look: ({ width, height }) => post('window/rect', { width, height }),
    press: (key) => post('actions', keystroke(key)),
    clickAt: (x, y) => post('actions', click(x, y)),
    capture: () => command('GET', `${session}/screenshot`),
  };
  await tab.look(first);
  await post('url', { url });
  await run('sync', script);
  return tab;
}

/** Resolves with a command's result; rejects with the driver's error. */
async function command(method: string, url: string, body?: JsonObject): Promise<unknown> {
  const response = await fetch(url, { method, ...(body && { body: JSON.stringify(body) }) });
  const { value } = parseObject(await response.text()) ?? {};
  if (!response.ok) throw new Error(`${url}: ${JSON.stringify(value)}`);
  return value;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const port = portOf(server);
  await once(server.close(), 'close');
  return port;
}
