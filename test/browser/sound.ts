import { join } from 'node:path';
import { type After, type Devices, emptyFolder, startProgram } from './browser.ts';

export const SOUND_PROGRAMS = [['pulseaudio'], ['paplay']];
/** A loudspeaker that nobody hears; a microphone, and the mouth in front of it, which is a loudspeaker, too. */
const MODULES = [
  'module-null-sink sink_name=loudspeaker',
  'module-null-sink sink_name=mouth',
  // Browsers don't list a loudspeaker's monitor as a microphone.
  'module-remap-source master=mouth.monitor source_name=microphone',
];
const OPTIONS = ['-n', '-v', '--daemonize=no', '--use-pid-file=no', '--exit-idle-time=-1'];

/** Starts a sound server if there are devices; resolves with a home and an environment for programs that use it. */
export async function startSound(
  devices: Devices,
  after: After,
): Promise<{ HOME: string; [name: string]: string }> {
  const HOME = await emptyFolder(after);
  const socket = join(HOME, 'socket');
  // Otherwise a loudspeaker begins 2 s late.
  const env = { HOME, XDG_RUNTIME_DIR: HOME, PULSE_SERVER: `unix:${socket}`, PULSE_LATENCY_MSEC: '60' };
  const modules = [`module-native-protocol-unix auth-anonymous=1 socket=${socket}`, ...MODULES];
  const args = [...OPTIONS, ...modules.map((module) => `--load=${module}`)];
  if (devices === 'all') await startProgram(after, ['pulseaudio'], args, env, /startup (complete)/);
  return env;
}

/** Plays a recording to the microphone. */
export function speak(wav: string, env: NodeJS.ProcessEnv, after: After): void {
  void startProgram(after, ['paplay'], ['--device=mouth', wav], env);
}
