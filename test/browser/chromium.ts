import { isObject, type JsonObject } from '../../src/wire/json.ts';
import { type Browser, type Devices, emptyFolder, startProgram } from './browser.ts';
import type { Look, Tab } from './page.ts';
import { connect, type Remote } from './remote.ts';

const { CHROME } = process.env;
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
const APPLICATIONS = ['Google Chrome', 'Chromium'].map(
  (name) => `/Applications/${name}.app/Contents/MacOS/${name}`,
);
const QUIET = '--disable-background-networking --disable-component-update --disable-sync --disable-quic';
const PLAIN =
  '--disable-gpu --no-first-run --no-default-browser-check --hide-scrollbars --force-color-profile=srgb';
const FLAGS = `--headless --remote-debugging-port=0 ${QUIET} ${PLAIN}`.split(' ');
// Chromium has no sandbox for root.
if (process.getuid?.() === 0) FLAGS.push('--no-sandbox');
const FAKE_MICROPHONE = '--use-fake-device-for-media-stream';
const ALLOW = '--use-fake-ui-for-media-stream';

/** Chromium or Chrome: at CHROME, otherwise by its usual names. */
export const chromium: Browser = {
  name: 'Chromium',
  programs: [CHROME ? [CHROME] : [...NAMES, ...APPLICATIONS]],
  packages: 'chromium',
  misses: ['no permission', 'no microphone'],
  async start(devices, wav, after) {
    const [names = []] = this.programs;
    const args = [...FLAGS, ...microphone(devices, wav), `--user-data-dir=${await emptyFolder(after)}`];
    const address = await startProgram(after, names, args, {}, /^DevTools listening on (ws:\S+)$/);
    const remote = await connect(address);
    const { product } = await remote.send('Browser.getVersion');
    return { version: String(product), open: (...args) => openTab(remote, ...args) };
  },
};

function microphone(devices: Devices, wav: string): string[] {
  if (devices === 'no permission') return [FAKE_MICROPHONE, '--deny-permission-prompts'];
  // Chromium plays the file itself whenever a page opens the microphone.
  return devices === 'all'
    ? [ALLOW, FAKE_MICROPHONE, `--use-file-for-fake-audio-capture=${wav}%noloop`]
    : [ALLOW];
}

async function openTab(remote: Remote, url: string, first: Look, source: string): Promise<Tab> {
  const { targetId } = await remote.send('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await remote.send('Target.attachToTarget', { targetId, flatten: true });
  const send = (method: string, params?: JsonObject) => remote.send(method, params, String(sessionId));
  const tab: Tab = {
    complaints: [],
    requests: [],
    async evaluate(expression) {
      const options = { expression, returnByValue: true, awaitPromise: true };
      const { result, exceptionDetails } = await send('Runtime.evaluate', options);
      if (exceptionDetails !== undefined)
        throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
      return isObject(result) ? result.value : undefined;
    },
    async look({ width, height, scheme, scale = 1, isForced = false }) {
      const metrics = { width, height, deviceScaleFactor: scale, mobile: false };
      await send('Emulation.setDeviceMetricsOverride', metrics);
      const colours = { name: 'forced-colors', value: isForced ? 'active' : 'none' };
      const features = [{ name: 'prefers-color-scheme', value: scheme }, colours];
      await send('Emulation.setEmulatedMedia', { features });
    },
    async press(key) {
      await send('Input.dispatchKeyEvent', { type: 'keyDown', key, text: key });
      await send('Input.dispatchKeyEvent', { type: 'keyUp', key });
    },
    async clickAt(x, y) {
      for (const type of ['mousePressed', 'mouseReleased'])
        await send('Input.dispatchMouseEvent', { type, x, y, button: 'left', clickCount: 1 });
    },
    async capture() {
      const size = await tab.evaluate(
        `({ width: innerWidth, height: document.documentElement.scrollHeight })`,
      );
      const clip = { x: 0, y: 0, scale: 1, ...(isObject(size) ? size : {}) };
      return (await send('Page.captureScreenshot', { clip, captureBeyondViewport: true })).data;
    },
  };
  remote.onEvent = (method, { request, url, entry, type, args, exceptionDetails }) => {
    if (method === 'Network.requestWillBeSent' && isObject(request)) tab.requests.push(String(request.url));
    if (method === 'Network.webSocketCreated') tab.requests.push(String(url));
    if (method === 'Log.entryAdded' && isObject(entry) && entry.level !== 'info')
      tab.complaints.push(`${entry.level}: ${entry.text} (${entry.url})`);
    if (method === 'Runtime.consoleAPICalled' && (type === 'error' || type === 'warning'))
      tab.complaints.push(`${type}: ${JSON.stringify(args)}`);
    if (method === 'Runtime.exceptionThrown') tab.complaints.push(JSON.stringify(exceptionDetails));
  };
  for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await send(`${domain}.enable`);
  await send('Page.addScriptToEvaluateOnNewDocument', { source });
  await tab.look(first);
  await send('Page.navigate', { url });
  return tab;
}
