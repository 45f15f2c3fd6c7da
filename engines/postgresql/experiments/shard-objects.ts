/**
 * Prints one shard as a List that `kubectl apply --server-side -f -` takes, with throw-away secrets, for trying things by hand:
 * `IMAGE=... node engines/postgresql/experiments/shard-objects.ts NAME NAMESPACE [JSON of spec fields]`.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { postgresql } from '../engine.ts';
import { sampleShard } from '../testing/shard.ts';

const [name = 'social-0', namespace = 'default', overrides = '{}'] = process.argv.slice(2);
const spec = z.record(z.string(), z.unknown()).parse(JSON.parse(overrides));
const shard = sampleShard({ deletionPolicy: 'Delete', ...spec }, { name, namespace });
const { secrets } = shard.spec;

const folder = mkdtempSync(join(tmpdir(), 'shard-'));
const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
const file = (path: string) => readFileSync(join(folder, path), 'utf8');
const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
const names = postgresql.serverNames(shard).map(host => `DNS:${host}`);
writeFileSync(join(folder, 'names'), `subjectAltName=${names.join(',')}\n`);
openssl(
  'req',
  '-x509',
  ...key,
  '-keyout',
  'ca.key',
  '-out',
  'ca.crt',
  '-days',
  '30',
  '-subj',
  '/CN=experiment',
);
openssl('req', ...key, '-keyout', 'tls.key', '-out', 'tls.csr', '-subj', `/CN=${name}`);
const signing = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '30', '-extfile', 'names'];
openssl('x509', '-req', '-in', 'tls.csr', ...signing, '-out', 'tls.crt');

const secret = (of: string, stringData: Record<string, string>) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: of, namespace },
  stringData,
});
const items = [
  secret(secrets.ca, { 'ca.crt': file('ca.crt') }),
  secret(secrets.tls, { 'tls.crt': file('tls.crt'), 'tls.key': file('tls.key') }),
  secret(secrets.internal, { superuser: 'super', replication: 'repl', rest: 'rest' }),
  ...postgresql.render(shard, {
    image: process.env['IMAGE'] ?? 'shardwright/postgres:dev',
    imagePullPolicy: 'IfNotPresent',
    operator: { namespace: 'shardwright', labels: { app: 'shardwright' } },
  }),
];
rmSync(folder, { recursive: true });
process.stdout.write(`${JSON.stringify({ apiVersion: 'v1', kind: 'List', items })}\n`);
