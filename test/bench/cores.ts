import { spawnSync } from 'node:child_process';

const [SERVERS, PEERS] = ['0', '1'];

/** Whether the peers have a core to themselves, and each server another; only Linux lets us say so. */
export const hasCores =
  spawnSync('taskset', ['--all-tasks', '--cpu-list', '--pid', PEERS, String(process.pid)]).status === 0;

/** What runs `node` on the servers' core: else the scheduler now and then puts it on that of the peers, which never sleep. */
export function onServersCore(args: string[]): [command: string, args: string[]] {
  return hasCores
    ? ['taskset', ['--cpu-list', SERVERS, process.execPath, ...args]]
    : [process.execPath, args];
}
