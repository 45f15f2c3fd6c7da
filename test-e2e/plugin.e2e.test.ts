/** The kubectl plugin as a person has it: the bundled file on the PATH, called through kubectl. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildCli } from '#hack/build-cli.ts';
import { repoDir } from '#hack/paths.ts';
import { type RunResult, tryRun } from '#hack/run.ts';
import { ensureTool } from '#hack/tools.ts';
import type { Location } from '#sharding/router.ts';
import { fleet, single, usual, usualSchema } from './support/fleet.ts';
import { useNamespace } from './support/use-namespace.ts';

const space = useNamespace('plugin');
const golden = join(repoDir, 'sharding/testdata');
let folder: string;
let kubectl: string;

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(usualSchema);
  const made = ns.apply(fleet({ ...usual, ...single, shards: 2 }));
  folder = await mkdtemp(join(tmpdir(), 'plugin-'));
  kubectl = await ensureTool('kubectl');
  await Promise.all([made, buildCli(join(folder, 'kubectl-shardwright'))]);
  await ns.current();
});

afterAll(async () => {
  if (folder) await rm(folder, { recursive: true });
});

/** `kubectl shardwright ARGS` in the namespace of the tests. */
function plugin(args: readonly string[], input?: string): Promise<RunResult> {
  const { cluster, name } = space.current;
  const path = [folder, dirname(process.execPath), dirname(kubectl), process.env['PATH'] ?? ''].join(
    delimiter,
  );
  return tryRun(kubectl, ['shardwright', '-n', name, ...args], {
    env: { PATH: path, KUBECONFIG: cluster.kubeconfigPath },
    ...(input === undefined ? {} : { input }),
  });
}

async function json<T>(...args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await plugin([...args, '-o', 'json']);
  expect(stderr).not.toContain('error');
  expect(code).toBe(0);
  const value: T = JSON.parse(stdout);
  return value;
}

it('shows the fleet, its shards and its map', async () => {
  expect((await plugin(['status'])).stdout).toMatch(/^fleet +hash +2\/2 /m);
  expect(await json('status', 'fleet')).toMatchObject({
    ready: true,
    shardList: [{ name: 'fleet-0', status: { primary: 'fleet-0-0' } }, { name: 'fleet-1' }],
  });
  expect(await json('map', 'fleet')).toMatchObject({
    algorithm: 'hash',
    shards: [
      { owns: { kind: 'slots', ranges: [{ first: 0, last: 8191 }] } },
      { owns: { kind: 'slots', ranges: [{ first: 8192, last: 16_383 }] } },
    ],
  });
});

describe('finds the rows', () => {
  const keys = [1, 2, 3, 4, 5, 6, 7, 8];

  it('of a key, where psql --key puts and sees them', async () => {
    const found = new Set<string>();
    for (const key of keys) {
      const insert = `INSERT INTO users VALUES (${key}, 'user ${key}')`;
      expect(await plugin(['psql', '--key', String(key), '--', '-qc', insert])).toMatchObject({ code: 0 });
      const { write, slot } = await json<Location>('locate', String(key));
      const sql = `SELECT hashint8extended(id, 0) & 16383 FROM users WHERE id = ${key}`;
      expect((await plugin(['psql', write.shard, '--', '-Atc', sql])).stdout.trim()).toBe(String(slot));
      found.add(write.shard);
    }
    expect([...found].toSorted()).toEqual(['fleet-0', 'fleet-1']);
  });

  it('of all shards, merged', async () => {
    expect(await json('query', 'SELECT count(*) AS n FROM users', '--aggregate', 'n=sum')).toMatchObject({
      rows: [{ n: String(keys.length) }],
    });
    const sorted = await json(
      'query',
      'SELECT id FROM users ORDER BY id DESC',
      '--order-by',
      'id:desc',
      '--limit',
      '3',
    );
    expect(sorted).toMatchObject({ rows: [{ id: '8' }, { id: '7' }, { id: '6' }] });
    const { stdout } = await plugin(['query', 'SELECT current_user AS login', '--by-shard']);
    expect(stdout).toMatch(/^fleet-0 +app_g1\nfleet-1 +app_g1$/m);
  });
});

it('says what to do when something is wrong, and fails', async () => {
  const wrong = await plugin(['query', 'SELECT nothing']);
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toContain('column "nothing" does not exist');
  const missing = await plugin(['psql', 'fleet-7']);
  expect(missing.code).toBe(1);
  expect(missing.stderr).toMatch(/there is no shard fleet-7[^]*What to do: .*kubectl get shards/);
  expect((await plugin(['psql', 'fleet-0', '--', '-c', 'SELECT 1/0'])).code).toBe(1);
});

// The unit tests hold the slot functions to these vectors; this holds the vectors to the server that is in use.
it('hands a script on standard input to psql: the golden vectors are what a live shard computes', async () => {
  const script = await readFile(join(golden, 'golden.sql'), 'utf8');
  const { stdout } = await plugin(['psql', 'fleet-0', '--', '-AtX'], script);
  expect(JSON.parse(stdout)).toEqual(JSON.parse(await readFile(join(golden, 'slots.golden.json'), 'utf8')));
});
