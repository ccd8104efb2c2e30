import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { DevTools } from './devtools.ts';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
const APPLICATIONS = ['Google Chrome', 'Chromium'].map(
  (name) => `/Applications/${name}.app/Contents/MacOS/${name}`,
);

/** What to do where there is no browser. */
export const HOW_TO_INSTALL = `There is no Chromium to test with. Install one, such as
  sudo apt-get install chromium        Debian
  brew install --cask google-chrome    macOS
or say where it is:  CHROME=/path/to/chrome npm run test:browser`;

const FLAGS = [
  '--headless',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
  '--no-first-run',
  '--no-default-browser-check',
  '--hide-scrollbars',
  '--force-color-profile=srgb',
  '--remote-debugging-port=0',
];

interface Chromium {
  readonly devTools: DevTools;
  close(): Promise<void>;
}

/** Where Chromium or Chrome is: at CHROME, otherwise by its usual names; undefined if it is nowhere. */
export function findChromium(): string | undefined {
  const { CHROME, PATH = '' } = process.env;
  if (CHROME) return isExecutable(CHROME) ? CHROME : undefined;
  const paths = NAMES.flatMap((name) => PATH.split(delimiter).map((folder) => join(folder, name)));
  return [...paths, ...APPLICATIONS].find(isExecutable);
}

async function startChromium(path: string, flags: string[]): Promise<Chromium> {
  const folder = await mkdtemp(join(tmpdir(), 'voice-relay-chromium-'));
  // Chromium has no sandbox for root.
  const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  const child = spawn(path, [...FLAGS, ...sandbox, `--user-data-dir=${folder}`, ...flags, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = once(child, 'exit');
  const said: string[] = [];
  const address = await new Promise<string>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', () => reject(new Error(`Chromium has ended:\n${said.join('\n')}`)));
    createInterface({ input: child.stderr }).on('line', (line) => {
      said.push(line);
      const { url } = /^DevTools listening on (?<url>ws:\S+)$/.exec(line)?.groups ?? {};
      if (url !== undefined) resolve(url);
    });
  });
  const devTools = await DevTools.connect(address);
  return {
    devTools,
    async close() {
      await devTools.send('Browser.close');
      await exited;
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Runs a browser of its own with these flags as well, with nothing in it and nobody to see it, for as long as `use` takes. */
export async function withChromium(
  path: string,
  flags: string[],
  use: (devTools: DevTools) => Promise<void>,
): Promise<void> {
  const chromium = await startChromium(path, flags);
  try {
    await use(chromium.devTools);
  } finally {
    await chromium.close();
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
