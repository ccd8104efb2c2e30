import { spawnSync } from 'node:child_process';

const [SERVERS, PEERS] = ['0', '1'];

/**
 * Puts this process, the peers, on a core of its own, and says whether that worked and servers can have another.
 *
 * Else the scheduler now and then puts a server on the core of the peers, which never sleep. Linux only.
 */
export const hasCores =
  taskset('--cpu-list', SERVERS, process.execPath, '--version') &&
  taskset('--all-tasks', '--cpu-list', '--pid', PEERS, String(process.pid));

function taskset(...args: string[]): boolean {
  return spawnSync('taskset', args).status === 0;
}

/** What runs node with `args` as a server. */
export function onServersCore(args: string[]): [command: string, args: string[]] {
  return hasCores
    ? ['taskset', ['--cpu-list', SERVERS, process.execPath, ...args]]
    : [process.execPath, args];
}
