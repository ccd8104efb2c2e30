import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { after as deadline, every, inTurn, running, watchStalls } from '../src/timers.ts';
import { portOf } from './support/port.ts';

const stalls: number[] = [];
let unwatch: () => void;

beforeEach(() => {
  stalls.length = 0;
  unwatch = watchStalls((ms) => stalls.push(ms));
});

afterEach(() => unwatch());

/** Has the process stand still, and read its sockets after that. */
async function stall(ms: number): Promise<void> {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  await setImmediate();
  await setImmediate();
}

/** Two ends of a connection. */
async function connected() {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const near = connect(portOf(server), '127.0.0.1');
  const [far] = await once(server, 'connection');
  onTestFinished(() => {
    near.destroy();
    server.close();
  });
  return { near, far };
}

describe('Acts in turn', () => {
  /** Queues acts that keep the process busy; resolves to what happened, in order, once the socket was read. */
  async function queue(...acts: { name: string; isUrgent: boolean }[]): Promise<string[]> {
    const { near, far } = await connected();
    const seen: string[] = [];
    near.once('data', () => seen.push('read'));
    for (const { name, isUrgent } of acts) {
      inTurn(() => {
        seen.push(name);
        if (seen.length === 1) far.write('x');
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 40);
      }, isUrgent);
    }
    await expect.poll(() => seen.length).toBe(acts.length + 1);
    return seen;
  }

  it('leave time to read the sockets', async () => {
    const acts = [
      { name: 'first', isUrgent: false },
      { name: 'second', isUrgent: false },
    ];
    expect(await queue(...acts)).toEqual(['first', 'read', 'second']);
  });

  it('come earlier if they are urgent', async () => {
    const acts = [
      { name: 'later', isUrgent: false },
      { name: 'urgent', isUrgent: true },
    ];
    expect(await queue(...acts)).toEqual(['urgent', 'read', 'later']);
  });
});

describe('A deadline', () => {
  it('is judged after the input that meets it was read', async () => {
    const { near, far } = await connected();
    const ends: string[] = [];
    const cancel = deadline(60, () => ends.push('too late'));
    near.once('data', () => {
      ends.push('in time');
      cancel();
    });
    far.write('x');
    await stall(300);
    expect(ends).toEqual(['in time']);
  });

  it('is put off by as long as the process stood still', async () => {
    let isOver = false;
    deadline(700, () => {
      isOver = true;
    });
    await stall(1_000);
    expect(isOver).toBe(false);
    await expect.poll(() => isOver, { timeout: 10_000 }).toBe(true);
  });

  it('is put off by no more than the rest of its time', async () => {
    const order: string[] = [];
    deadline(300, () => order.push('from before'));
    await stall(2_000);
    deadline(1_000, () => order.push('from after'));
    await expect.poll(() => order, { timeout: 10_000 }).toEqual(['from before', 'from after']);
  });
});

describe('A stall', () => {
  it('is reported once, and is no running time', async () => {
    const ran = running();
    const began = performance.now();
    await stall(1_000);
    expect(stalls).toHaveLength(1);
    expect(performance.now() - began - (running() - ran)).toBeGreaterThan(500);
  });

  it('has a tick wait until the sockets were read', async () => {
    const { near, far } = await connected();
    const order: string[] = [];
    const timer = every(50, () => order.push('tick'));
    onTestFinished(() => clearInterval(timer));
    near.once('data', () => order.push('data'));
    far.write('x');
    await stall(300);
    await expect.poll(() => order.length).toBeGreaterThan(1);
    expect(order.slice(0, 2)).toEqual(['data', 'tick']);
  });
});
