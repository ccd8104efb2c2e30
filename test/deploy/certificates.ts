import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Makes a private CA that the tests trust, and localhost's certificate; `DEPLOY_CERTIFICATES` says where they are. */
export default function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'voice-relay-deploy-'));
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const run = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  run('req', '-x509', ...key, '-subj', '/CN=Tests', '-keyout', 'ca.key', '-out', 'ca.pem');
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const issuer = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-addext', 'basicConstraints=critical,CA:FALSE'];
  run('req', '-x509', ...key, ...names, ...issuer, '-keyout', 'relay.key', '-out', 'relay.crt');
  // HAProxy takes both in one file.
  cpSync(join(folder, 'relay.crt'), join(folder, 'relay.pem'));
  writeFileSync(join(folder, 'relay.pem'), readFileSync(join(folder, 'relay.key')), { flag: 'a' });
  process.env.NODE_EXTRA_CA_CERTS = join(folder, 'ca.pem');
  process.env.DEPLOY_CERTIFICATES = folder;
  return () => rmSync(folder, { recursive: true });
}
