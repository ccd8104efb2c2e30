import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { hasCores } from './cores.ts';
import { START_FLAGS } from './server.ts';

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/** A Markdown table whose columns also line up in a terminal; the first is text, the others are figures. */
export function table(head: string[], rows: string[][]): string {
  const widths = head.map((cell, column) =>
    Math.max(3, cell.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: string[]) => {
    const padded = widths.map((width, column) => {
      const cell = cells[column] ?? '';
      return column === 0 ? cell.padEnd(width) : cell.padStart(width);
    });
    return `| ${padded.join(' | ')} |`;
  };
  const rule = widths.map((width, column) =>
    column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}

/** Where and with what this was measured. */
export function setting() {
  const processors = cpus();
  return {
    date: new Date().toISOString(),
    machine: `${processors[0]?.model.trim()} × ${processors.length}`,
    hasCores,
    node: process.version,
    flags: START_FLAGS,
    fastify: version('fastify'),
    websocket: version('@fastify/websocket'),
    ws: version('ws'),
  };
}

function version(name: string): string {
  const file = new URL(`../../node_modules/${name}/package.json`, import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')).version;
}
