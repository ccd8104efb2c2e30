// npm run test:browser: the telephone's page in a real Chromium, with the real server and the parrot.
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Desk, startDesk } from '../simulator/desk.ts';
import { only } from '../simulator/narrator.ts';
import { type ParrotEvent, startParrot } from '../simulator/parrot.ts';
import { type ParrotServer, startParrotServer } from '../simulator/parrot-server.ts';
import { recording } from '../simulator/recording.ts';
import { findChromium, HOW_TO_INSTALL, withChromium } from './chromium.ts';
import { findingsOfCall } from './conversation.ts';
import type { DevTools } from './devtools.ts';
import { EARPIECE } from './earpiece.ts';
import { QUESTION_AT_MS, type Script, script } from './microphone.ts';
import { type Look, Page } from './page.ts';

const USAGE = `Usage: npm run test:browser -- [--picture .github/phone.png]

--picture writes the README's picture. CHROME=/path/to/chrome says which browser it is.`;

/** No run takes this long unless something hangs. */
const LONGEST_MS = 90_000;
const FAKE_DEVICE = '--use-fake-device-for-media-stream';
const LIGHT: Look = { width: 1180, height: 860, scheme: 'light' };
const LOOKS: Record<string, Look> = {
  light: LIGHT,
  dark: { ...LIGHT, scheme: 'dark' },
  narrow: { width: 360, height: 740, scheme: 'light', scale: 2 },
  forced: { ...LIGHT, isForced: true },
  'narrow-dark': { width: 360, height: 740, scheme: 'dark', scale: 2 },
};
/** A picture on a README is no larger. */
const PICTURE_BYTES = 150_000;

/** What a run has to do with. */
interface Bench {
  folder: string;
  microphone: Script;
  server: ParrotServer;
  desk: Desk;
  events: ParrotEvent[];
  picture: string | undefined;
}

const faults: string[] = [];

function check(isRight: boolean, what: string): void {
  console.log(`${isRight ? '  ok ' : '  NOT'}  ${what}`);
  if (!isRight) faults.push(what);
}

function readPicture(): string | undefined {
  try {
    return parseArgs({ options: { picture: { type: 'string' } } }).values.picture;
  } catch {
    console.error(USAGE);
    process.exit(1);
  }
}

const picture = readPicture();
const path = findChromium();
if (path === undefined) {
  console.error(HOW_TO_INSTALL);
  process.exit(1);
}
const timer = setTimeout(() => {
  console.error(`It hung: it should have been over in ${LONGEST_MS / 1_000} s.`);
  process.exit(1);
}, LONGEST_MS);
const events: ParrotEvent[] = [];
let onParrot = (_event: ParrotEvent) => {};
const server = await startParrotServer((event) => {
  if (event.type === 'session-ready') return;
  events.push(event);
  onParrot(event);
}, 'silent');
const desk = await startDesk({ port: 0, isParrot: true, server, narrate: () => {} });
onParrot = desk.onParrot;
const folder = await mkdtemp(join(tmpdir(), 'voice-relay-browser-'));
const microphone = script();
const bench: Bench = { folder, microphone, server, desk, events, picture };

await withChromium(
  path,
  [FAKE_DEVICE, '--use-fake-ui-for-media-stream', await fakeMicrophone(bench)],
  async (devTools) => {
    const page = await Page.open(devTools, desk.url, LIGHT, EARPIECE);
    await page.until(`document.getElementById('line').innerText.includes('parrot')`);
    await writeFile(join(folder, 'before.png'), await page.picture());
    await converse(page, bench);
    await takePictures(page, bench);
    await failInTurn(page, bench);
    faultsOfBrowser(page, desk.url);
  },
);
await withChromium(path, [FAKE_DEVICE], (devTools) =>
  missTheMicrophone(devTools, bench, 'denied', 'The microphone was refused'),
);
await withChromium(path, [], (devTools) =>
  missTheMicrophone(devTools, bench, 'granted', 'There is no microphone'),
);
await desk.close();
clearTimeout(timer);
console.log(`\nPictures of it are in ${folder}`);
if (faults.length > 0) console.error(`\nSomething is wrong: ${faults.length} of the above.`);
process.exitCode = faults.length === 0 ? 0 : 1;

/** Chromium's flag for a microphone that is a file, played once. */
async function fakeMicrophone({ folder, microphone }: Bench): Promise<string> {
  const file = join(folder, 'microphone.wav');
  await writeFile(file, microphone.wav);
  return `--use-file-for-fake-audio-capture=${file}%noloop`;
}

/** A question, an answer that is talked over, another, keys, and the end. */
async function converse(page: Page, { server, events, microphone, folder }: Bench): Promise<void> {
  console.log('A call of two turns and a barge-in');
  await page.click('#call');
  await page.until(`document.getElementById('state').innerText === 'On the line'`);
  check((await server.liveCalls()) === 1, 'the server has one call');
  await page.until(`document.querySelectorAll('#turns tr:not(.cut)').length === 2`, 20_000);
  await page.until(`document.querySelector('#log li:last-child').innerText.includes('hears the assistant')`);
  await pause(1_500);
  await writeFile(join(folder, 'live.png'), await page.picture());
  await page.until(`document.querySelector('#log li:last-child').innerText.includes('hears silence')`);
  await page.press('7');
  await page.click('#keypad button:last-of-type');
  await page.until(`document.getElementById('log').innerText.includes('of the keys 7')`);
  check(
    only(events, 'keys-heard')[0]?.digits === '7',
    'a key of the keyboard and one of the page were heard',
  );
  await page.click('#call');
  await page.until(`document.getElementById('state').innerText === 'Call over'`);
  await page.until(`document.querySelector('#recording audio').duration > 0`);
  const link = String(await page.evaluate(`document.querySelector('#recording a').href`));
  const wav = Buffer.from(await (await fetch(link)).arrayBuffer());
  for (const { isRight, what } of await findingsOfCall(page, events, microphone, wav)) check(isRight, what);
  check((await server.liveCalls()) === 0, 'after the caller hung up, the server has no call');
  check(only(events, 'closed').length === 1, 'and the parrot has none');
  const microphones = await page.evaluate('window.microphones.map(({ readyState }) => readyState)');
  check(String(microphones) === 'ended', 'and the microphone is off');
  console.log(`\n${await page.text('turns')}\n`);
}

async function takePictures(page: Page, { folder, picture }: Bench): Promise<void> {
  for (const [name, look] of Object.entries(LOOKS)) {
    await page.look(look);
    await pause(200);
    const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
    check(overflow === 0, `${overflow} px run over the edge of the ${name} page`);
    await writeFile(join(folder, `${name}.png`), await page.picture());
  }
  await page.look(LIGHT);
  if (picture === undefined) return;
  const png = await page.picture();
  check(png.length <= PICTURE_BYTES, `the README's picture has ${png.length} bytes, of ${PICTURE_BYTES}`);
  await writeFile(picture, png);
}

/** A muted caller isn't heard; OpenAI fails the call, the server the next one, and nobody answers the last. */
async function failInTurn(page: Page, { server, events, folder }: Bench): Promise<void> {
  console.log('A caller who is muted, as a telephone hears it');
  const wereHeard = only(events, 'speech-started').length;
  const heard = () => only(events, 'speech-started').length - wereHeard;
  await page.click('#raw');
  await page.click('#call');
  await page.until(`document.getElementById('state').innerText === 'On the line'`);
  await page.click('#mute');
  await pause(QUESTION_AT_MS + 500);
  check(heard() === 0, 'is not heard');
  const shown = `${await page.text('mute')}; ${await page.text('caller-label')}`;
  check(shown === 'Muted; You, muted', `and sees it: ${shown}`);
  await page.click('#mute');
  await page.until(`document.getElementById('log').innerText.includes('hears speech')`);
  check(heard() === 1, 'and in the midst of the same words is, when no longer muted');
  const asked = await page.evaluate('window.asked');
  check(String(asked) === 'true,false', `echo cancellation was asked for: ${asked}`);

  console.log('What fails is told in words');
  const { port } = new URL(server.parrot.url);
  await server.parrot.close();
  await expectTrouble(
    page,
    'The server ended the call (1011), and said: “I am sorry, something has gone wrong.”',
  );
  const focused = await page.evaluate('document.activeElement.id');
  check(focused === 'call', `the focus goes from the mute button to: ${focused}`);
  const spoken = await page.evaluate('window.spoken');
  check(String(spoken) === 'I am sorry, something has gone wrong.', `a voice says: ${spoken}`);

  const parrot = await startParrot({ greeting: recording('greeting'), port: Number(port) });
  await page.click('#call');
  await page.until(`document.getElementById('first-word').innerText !== '–'`);
  await server.close();
  await parrot.close();
  await expectTrouble(page, 'The server has gone');
  await page.click('#call');
  await expectTrouble(page, 'No server answers');
  await writeFile(join(folder, 'no-server.png'), await page.picture());
}

async function expectTrouble(page: Page, words: string): Promise<void> {
  const trouble = `document.getElementById('trouble')`;
  await page.until(
    `!${trouble}.hidden && ${trouble}.innerText.startsWith(${JSON.stringify(words.slice(0, 12))})`,
  );
  const told = await page.text('trouble');
  check(told.startsWith(words), told);
}

/** Calls without a microphone, as the browser was told to refuse it, or as there is none. */
async function missTheMicrophone(
  devTools: DevTools,
  { desk, folder }: Bench,
  setting: 'denied' | 'granted',
  words: string,
): Promise<void> {
  const page = await Page.open(devTools, desk.url, LIGHT);
  const permission = { name: 'microphone' };
  await devTools.send('Browser.setPermission', { permission, origin: desk.url, setting });
  await page.click('#call');
  await expectTrouble(page, words);
  await writeFile(join(folder, `microphone-${setting}.png`), await page.picture());
  faultsOfBrowser(page, desk.url);
}

function faultsOfBrowser({ complaints, requests }: Page, origin: string): void {
  // The browser's own player has its symbols in data: addresses, which ask nobody.
  const asked = requests.filter((url) => !url.startsWith('data:'));
  const elsewhere = asked.filter((url) => new URL(url.replace(/^ws/, 'http')).origin !== origin);
  check(
    elsewhere.length === 0,
    `of ${asked.length} requests, these went elsewhere: ${elsewhere.join(' ') || 'none'}`,
  );
  check(
    complaints.length === 0,
    `the browser had no complaint${complaints.map((text) => `\n       ${text}`).join('')}`,
  );
}
