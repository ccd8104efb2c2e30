import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { testConfig } from '../support/config.ts';
import { parseYaml, type Yaml } from './yaml.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

function read(file: string): string {
  return readFileSync(join(ROOT, '.github/deploy', file), 'utf8');
}

/** What is in `yaml` below these keys. */
function at(yaml: Yaml | undefined, ...path: (string | number)[]): Yaml | undefined {
  return path.reduce<Yaml | undefined>((value, key) => {
    if (Array.isArray(value)) return value[Number(key)];
    return typeof value === 'object' ? value[key] : undefined;
  }, yaml);
}

describe('kubernetes.yaml', () => {
  const [deployment, service, ingress] = parseYaml(read('kubernetes.yaml'));
  const pod = at(deployment, 'spec', 'template', 'spec');
  const container = at(pod, 'containers', 0);
  const env = at(container, 'env');

  it('holds a Deployment, a Service and an Ingress that belong together', () => {
    const kinds = [deployment, service, ingress].map((document) => at(document, 'kind'));
    expect(kinds).toEqual(['Deployment', 'Service', 'Ingress']);
    const labels = at(deployment, 'spec', 'template', 'metadata', 'labels');
    expect(at(deployment, 'spec', 'selector', 'matchLabels')).toEqual(labels);
    expect(at(service, 'spec', 'selector')).toEqual(labels);
    const backend = at(ingress, 'spec', 'rules', 0, 'http', 'paths', 0, 'backend', 'service');
    expect(at(backend, 'name')).toBe(at(service, 'metadata', 'name'));
    expect(at(backend, 'port', 'number')).toBe(at(service, 'spec', 'ports', 0, 'port'));
  });

  it('asks GET / at the port that the server listens on by default', () => {
    const port = String(testConfig().port);
    expect(at(container, 'ports', 0, 'containerPort')).toBe(port);
    expect(at(container, 'readinessProbe', 'httpGet')).toEqual({ path: '/', port });
    expect(at(service, 'spec', 'ports', 0, 'targetPort')).toBe(port);
  });

  it('sets only variables that the server or tsx knows', () => {
    const known = `${readFileSync(join(ROOT, '.env.example'), 'utf8')} TSX_DISABLE_CACHE`;
    for (const variable of Array.isArray(env) ? env : []) expect(known).toContain(at(variable, 'name'));
  });

  it('gives the process its grace, and as much more as the README says', () => {
    const [, more] = /the grace and (\d+) s more/.exec(read('README.md')) ?? [];
    const grace = (Array.isArray(env) ? env : []).find(
      (variable) => at(variable, 'name') === 'SHUTDOWN_GRACE_SECONDS',
    );
    const hook = at(container, 'lifecycle', 'preStop', 'exec', 'command', 1);
    const least = Number(hook) + Number(at(grace, 'value')) + Number(more);
    expect(Number(at(pod, 'terminationGracePeriodSeconds'))).toBeGreaterThanOrEqual(least);
  });
});

describe('Dockerfile', () => {
  const instructions = Array.from(
    read('Dockerfile').matchAll(/^([A-Z]+) (.*)$/gm),
    ([, name, rest = '']) => ({
      name,
      rest,
    }),
  );
  const [command = '', ...args]: string[] = JSON.parse(instructions.at(-1)?.rest ?? '[]');

  it('runs the command of npm start', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    expect(['exec', 'env', 'TSX_DISABLE_CACHE=1', command, ...args].join(' ')).toBe(scripts.start);
  });

  it('copies and installs all that the server needs', { timeout: 300_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'voice-relay-image-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    for (const { name, rest } of instructions) {
      if (name === 'COPY')
        execFileSync('sh', ['-c', `cp -r ${rest.replace(/\S+$/, `${folder}/$&`)}`], { cwd: ROOT });
      if (name === 'RUN') execFileSync('sh', ['-c', rest], { cwd: folder, stdio: 'pipe' });
    }
    const env = {
      OPENAI_API_KEY: 'sk-test',
      ALLOW_UNSIGNED_REQUESTS: 'true',
      STANDBY_SESSIONS: '0',
      PORT: '0',
    };
    const child = spawn(command, args, {
      cwd: folder,
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    child.stdout.on('data', (log) => String(log).includes('listening at') && child.kill('SIGTERM'));
    expect(await exited).toEqual([0, null]);
  });
});
