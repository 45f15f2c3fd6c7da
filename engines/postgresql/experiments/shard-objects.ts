/**
 * Prints one shard as a List that `kubectl apply -f -` takes, with throw-away secrets, for trying things by hand:
 * `node engines/postgresql/experiments/shard-objects.ts NAME NAMESPACE [JSON of spec fields]`.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseShard } from '#crds/api/shard.ts';
import { serverNames } from '#engines/postgresql/names.ts';
import { render } from '#engines/postgresql/render.ts';

const [name = 'social-0', namespace = 'default', overrides = '{}'] = process.argv.slice(2);
const image = process.env['IMAGE'] ?? 'shardwright/postgres:dev';
const cluster = name.replace(/-\d+$/, '');

const shard = parseShard({
  apiVersion: 'shardwright.io/v1alpha1',
  kind: 'Shard',
  metadata: { name, namespace },
  spec: {
    cluster: { name: cluster },
    ordinal: 0,
    members: 2,
    engine: { type: 'postgresql', version: '17', database: 'social' },
    storage: { size: '1Gi' },
    deletionPolicy: 'Delete',
    secrets: {
      ca: `${cluster}-ca`,
      internal: `${cluster}-internal`,
      app: `${cluster}-app`,
      tls: `${name}-tls`,
    },
    sharding: {
      algorithm: 'hash',
      keyType: 'bigint',
      slots: 256,
      partition: { kind: 'slots', slots: 256, ranges: [{ first: 0, last: 255 }] },
    },
    ...JSON.parse(overrides),
  },
});

const folder = mkdtempSync(join(tmpdir(), 'shard-'));
const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
const file = (path: string) => readFileSync(join(folder, path), 'utf8');
const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
openssl(
  'req',
  '-x509',
  ...ec,
  '-keyout',
  'ca.key',
  '-out',
  'ca.crt',
  '-days',
  '30',
  '-subj',
  '/CN=experiment',
);
openssl('req', ...ec, '-keyout', 'tls.key', '-out', 'tls.csr', '-subj', `/CN=${name}`);
writeFileSync(
  join(folder, 'ext'),
  `subjectAltName=${serverNames(name, namespace)
    .map(host => `DNS:${host}`)
    .join(',')}`,
);
openssl(
  'x509',
  '-req',
  '-in',
  'tls.csr',
  '-CA',
  'ca.crt',
  '-CAkey',
  'ca.key',
  '-CAcreateserial',
  '-days',
  '30',
  '-extfile',
  'ext',
  '-out',
  'tls.crt',
);
const secret = (of: string, stringData: Record<string, string>) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: of, namespace },
  stringData,
});
const items = [
  secret(`${cluster}-ca`, { 'ca.crt': file('ca.crt') }),
  secret(`${name}-tls`, { 'tls.crt': file('tls.crt'), 'tls.key': file('tls.key') }),
  secret(`${cluster}-internal`, { superuser: 'super', replication: 'repl', rest: 'rest', pooler: '-' }),
  ...render(shard, {
    image,
    imagePullPolicy: 'IfNotPresent',
    operator: { namespace: 'shardwright', labels: { app: 'shardwright' } },
  }),
];
rmSync(folder, { recursive: true });
process.stdout.write(`${JSON.stringify({ apiVersion: 'v1', kind: 'List', items })}\n`);
