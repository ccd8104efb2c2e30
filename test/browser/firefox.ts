import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isObject, type JsonObject } from '../../src/wire/json.ts';
import { type Browser, type Devices, startProgram } from './browser.ts';
import { click, keystroke, type Look, type Tab } from './page.ts';
import { connect, type Remote } from './remote.ts';
import { SOUND_PROGRAMS, speak, startSound } from './sound.ts';

const NAMES = ['firefox-esr', 'firefox'];
const ALLOW = 'user_pref("media.navigator.permission.disabled", true);\n';
const REFUSE = 'user_pref("permissions.default.microphone", 2);\n';
const FAKE_MICROPHONE = 'user_pref("media.navigator.streams.fake", true);\n';
const PREFERENCES: Record<Devices, string> = {
  all: ALLOW,
  'no permission': FAKE_MICROPHONE + REFUSE,
  'no microphone': ALLOW,
  'no loudspeaker': FAKE_MICROPHONE + ALLOW,
};

export const firefox: Browser = {
  name: 'Firefox',
  programs: [NAMES, ...SOUND_PROGRAMS],
  packages: 'firefox-esr pulseaudio',
  misses: ['no permission', 'no microphone', 'no loudspeaker'],
  async start(devices, wav, after) {
    const env = await startSound(devices, after);
    await writeFile(join(env.HOME, 'user.js'), PREFERENCES[devices]);
    const args = [
      '--headless',
      '--no-remote',
      '--profile',
      env.HOME,
      '--remote-debugging-port=0',
      'about:blank',
    ];
    const address = await startProgram(after, NAMES, args, env, /^WebDriver BiDi listening on (ws:\S+)$/);
    const remote = await connect(`${address}/session`);
    const { capabilities } = await remote.send('session.new', { capabilities: {} });
    const version = `Firefox ${isObject(capabilities) && capabilities.browserVersion}`;
    return { version, open: (...args) => openTab(remote, ...args), speak: () => speak(wav, env, after) };
  },
};

async function openTab(remote: Remote, url: string, first: Look, script: string): Promise<Tab> {
  const { context } = await remote.send('browsingContext.create', { type: 'tab' });
  const send = (method: string, params: JsonObject) => remote.send(method, { context, ...params });
  const tab: Tab = {
    complaints: [],
    requests: [],
    async evaluate(expression) {
      const { result, exceptionDetails } = await remote.send('script.evaluate', {
        expression: `(async () => JSON.stringify(await ${expression}))()`,
        target: { context },
        awaitPromise: true,
      });
      if (exceptionDetails !== undefined)
        throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
      return isObject(result) && typeof result.value === 'string' ? JSON.parse(result.value) : undefined;
    },
    // It has no command for colours.
    look: ({ width, height, scale = 1 }) =>
      send('browsingContext.setViewport', { viewport: { width, height }, devicePixelRatio: scale }),
    press: (key) => send('input.performActions', keystroke(key)),
    clickAt: (x, y) => send('input.performActions', click(x, y)),
    capture: async () => (await send('browsingContext.captureScreenshot', { origin: 'document' })).data,
  };
  remote.onEvent = (method, { request, level, text }) => {
    if (method === 'network.beforeRequestSent' && isObject(request)) tab.requests.push(String(request.url));
    if (method === 'log.entryAdded' && (level === 'error' || level === 'warn'))
      tab.complaints.push(`${level}: ${text}`);
  };
  await remote.send('session.subscribe', { events: ['log.entryAdded', 'network.beforeRequestSent'] });
  const functionDeclaration = `() => { if (isSecureContext) {${script}} }`;
  await remote.send('script.addPreloadScript', { functionDeclaration });
  await tab.look(first);
  await send('browsingContext.navigate', { url, wait: 'complete' });
  return tab;
}
