// npm run test:browser -- [--picture .github/phone.png] [Chromium] [Firefox] [WebKitGTK]
// The phone's page in real browsers, with the real server and the parrot. `--picture` writes the README's picture, as
// Chromium shows it; CHROME names the path of another Chromium.
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
import { type Browser, type Devices, find } from './browser.ts';
import { chromium } from './chromium.ts';
import { check, checkCall, checkLoudspeaker, faults } from './conversation.ts';
import { EARPIECE } from './earpiece.ts';
import { firefox } from './firefox.ts';
import { QUESTION_AT_MS, script } from './microphone.ts';
import { type Look, Page } from './page.ts';
import { webKit } from './webkit.ts';

/** Three times as long as all browsers take, in ms. */
const LONGEST_MS = 360_000;
const TROUBLES: Record<Devices, string> = {
  all: '',
  'no permission': 'The microphone was refused',
  'no microphone': 'There is no microphone',
  'no loudspeaker': 'This browser has no loudspeaker',
};
const LIGHT: Look = { width: 1180, height: 860, scheme: 'light' };
const LOOKS: Record<string, Look> = {
  light: LIGHT,
  dark: { ...LIGHT, scheme: 'dark' },
  narrow: { width: 360, height: 740, scheme: 'light', scale: 2 },
  forced: { ...LIGHT, isForced: true },
  'narrow-dark': { width: 360, height: 740, scheme: 'dark', scale: 2 },
};
/** The README's picture is no larger. */
const PICTURE_BYTES = 150_000;

interface Bench {
  browser: Browser;
  server: ParrotServer;
  desk: Desk;
  events: ParrotEvent[];
}

const { values, positionals: names } = parseArgs({
  options: { picture: { type: 'string' } },
  allowPositionals: true,
});
const folder = await mkdtemp(join(tmpdir(), 'voice-relay-pictures-'));
const wav = join(folder, 'microphone.wav');
await writeFile(wav, script());
setTimeout(() => {
  throw new Error('It hung');
}, LONGEST_MS).unref();
for (const browser of [chromium, firefox, webKit]) {
  if (names.length > 0 && !names.includes(browser.name)) continue;
  const missing = browser.programs.find((program) => find(program) === undefined);
  if (missing === undefined) await tryBrowser(browser);
  else console.log(`${browser.name} is left out: there is no ${missing[0]} (Debian: ${browser.packages}).`);
}
console.log(`\nPictures of it are in ${folder}`);
if (faults.length > 0) console.error(`\nSomething is wrong: ${faults.length} of the above.`);
process.exitCode = faults.length === 0 ? 0 : 1;

async function tryBrowser(browser: Browser): Promise<void> {
  const events: ParrotEvent[] = [];
  let onParrot = (_event: ParrotEvent) => {};
  const server = await startParrotServer((event) => {
    if (event.type === 'session-ready') return;
    events.push(event);
    onParrot(event);
  }, 'silent');
  const desk = await startDesk({ port: 0, isParrot: true, server, narrate: () => {} });
  onParrot = desk.onParrot;
  const bench: Bench = { browser, server, desk, events };
  await visit(bench, 'all', async (page, speak) => {
    await page.until(`document.getElementById('line').innerText.includes('parrot')`);
    await keepPicture(page, bench, 'before');
    await converse(page, speak, bench);
    await takePictures(page, bench);
    await failInTurn(page, speak, bench);
  });
  for (const devices of browser.misses) {
    await visit(bench, devices, async (page) => {
      await page.click('#call');
      await expectTrouble(page, TROUBLES[devices]);
      check(!(await microphones(page)).includes('live'), 'and the microphone is free');
      await keepPicture(page, bench, devices);
    });
  }
  await desk.close();
}

/** Opens the page in a browser with these devices, and ends the browser after `use`. */
async function visit(
  { browser, desk }: Bench,
  devices: Devices,
  use: (page: Page, speak: () => void) => Promise<void>,
): Promise<void> {
  const ends: (() => unknown)[] = [];
  try {
    const { version, open, speak } = await browser.start(devices, wav, (end) => ends.unshift(end));
    console.log(`\n${version}, ${devices === 'all' ? 'with a microphone and a loudspeaker' : devices}`);
    const page = new Page(await open(desk.url, LIGHT, EARPIECE));
    await page.until(`document.readyState === 'complete'`);
    await use(page, () => speak?.());
    if (browser !== webKit) faultsOfBrowser(page, desk.url);
  } finally {
    for (const end of ends) await end();
  }
}

async function keepPicture(page: Page, { browser }: Bench, name: string): Promise<void> {
  await writeFile(join(folder, `${browser.name}-${name.replace(' ', '-')}.png`), await page.picture());
}

/** The state of each microphone that the page has had. */
async function microphones(page: Page): Promise<string> {
  return String(await page.evaluate('window.microphones.map(({ readyState }) => readyState)'));
}

/** Calls, and speaks once the line is open. */
async function call(page: Page, speak: () => void): Promise<void> {
  await page.click('#call');
  await page.until(`document.getElementById('state').innerText === 'On the line'`);
  speak();
}

/** A question, an answer that is interrupted, another, keys, and the end. */
async function converse(page: Page, speak: () => void, bench: Bench): Promise<void> {
  const { server, events } = bench;
  console.log('A call of two turns and a barge-in, as a telephone hears it');
  await page.click('#raw');
  await call(page, speak);
  check((await server.liveCalls()) === 1, 'the server has one call');
  await page.until(`document.querySelectorAll('#turns tr:not(.cut)').length === 2`, 20_000);
  await page.until(`document.querySelector('#log li:last-child').innerText.includes('hears the assistant')`);
  await pause(1_500);
  await keepPicture(page, bench, 'live');
  await page.until(`document.querySelector('#log li:last-child').innerText.includes('hears silence')`);
  await page.tab.press('7');
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
  const recorded = await (await fetch(link)).arrayBuffer();
  // WebKitGTK drops audio both ways on a busy machine.
  await checkLoudspeaker(page, bench.browser === webKit ? 0.1 : 0.5);
  if (bench.browser !== webKit) await checkCall(page, events, Buffer.from(recorded));
  check((await server.liveCalls()) === 0, 'after the caller hung up, the server has no call');
  check(only(events, 'closed').length === 1, 'and the parrot has none');
  check((await microphones(page)) === 'ended', 'and the microphone is off');
  console.log(`\n${await page.text('turns')}\n`);
  await page.click('#raw');
}

async function takePictures(page: Page, bench: Bench): Promise<void> {
  for (const [name, look] of Object.entries(LOOKS)) {
    // Only Chromium has a command for colours.
    if (bench.browser !== chromium && (look.scheme === 'dark' || look.isForced)) continue;
    await page.tab.look(look);
    await pause(200);
    const overflow = await page.evaluate(
      'document.documentElement.scrollWidth - document.documentElement.clientWidth',
    );
    check(overflow === 0, `${overflow} px run over the edge of the ${name} page`);
    await keepPicture(page, bench, name);
  }
  await page.tab.look(LIGHT);
  if (values.picture === undefined || bench.browser !== chromium) return;
  const png = await page.picture();
  check(png.length <= PICTURE_BYTES, `the README's picture has ${png.length} bytes, of ${PICTURE_BYTES}`);
  await writeFile(values.picture, png);
}

/** A muted caller isn't heard; OpenAI fails the call, the server the next one, and nobody answers the last. */
async function failInTurn(page: Page, speak: () => void, bench: Bench): Promise<void> {
  const { server, events } = bench;
  console.log('A caller who is muted');
  const wereHeard = only(events, 'speech-started').length;
  const heard = () => only(events, 'speech-started').length - wereHeard;
  await call(page, speak);
  await page.click('#mute');
  await pause(QUESTION_AT_MS + 500);
  check(heard() === 0, 'is not heard');
  const shown = `${await page.text('mute')}; ${await page.text('caller-label')}`;
  check(shown === 'Muted; You, muted', `and sees it: ${shown}`);
  await page.click('#mute');
  await page.until(`document.getElementById('log').innerText.includes('hears speech')`);
  check(heard() === 1, 'and in the midst of the same words is, when no longer muted');
  const asked = await page.evaluate('window.asked');
  check(String(asked) === 'false,true', `echo cancellation was asked for: ${asked}`);

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
  await keepPicture(page, bench, 'no server');
}

async function expectTrouble(page: Page, words: string): Promise<void> {
  await page.until(`!document.getElementById('trouble').hidden`);
  const told = await page.text('trouble');
  check(told.startsWith(words), told);
}

function faultsOfBrowser({ tab: { complaints, requests } }: Page, origin: string): void {
  // The browser's own player loads its symbols from data: addresses.
  const asked = requests.filter((url) => !url.startsWith('data:'));
  const elsewhere = asked.filter((url) => new URL(url.replace(/^ws/, 'http')).origin !== origin);
  check(
    elsewhere.length === 0,
    `of ${asked.length} requests, ${elsewhere.length} went elsewhere ${elsewhere}`,
  );
  check(complaints.length === 0, `the browser had ${complaints.length} complaints ${complaints.join('\n')}`);
}
