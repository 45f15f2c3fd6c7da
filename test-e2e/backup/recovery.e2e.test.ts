/**
 * A fleet that is gone with every volume, brought back from the object store alone: to its newest, to a moment before somebody deleted
 * too much, and to the second in which a migration changed owners. What cannot be says so, and can be put right.
 */
import { beforeAll, expect, it } from 'vitest';
import { annotations } from '#crds/api/names.ts';
import type { ShardClusterSpec } from '#crds/api/shard-cluster.ts';
import { ConfigMaps, Secrets } from '#kernel/resources.ts';
import { loadSchemaOf, startLoad } from '#test-e2e/load/deploy.ts';
import { loadTables, moneyPerPot, potsPerOwner } from '#test-e2e/load/shape.ts';
import { nothingWentWrong } from '#test-e2e/migration/scene.ts';
import { lossOf } from '#test-e2e/probe/loss.ts';
import { connectClient } from '#test-e2e/support/client.ts';
import { conditionOf, hasCondition } from '#test-e2e/support/conditions.ts';
import {
  type FleetManifest,
  type FleetOptions,
  fleet,
  single,
  usualSchema,
  usualTables,
} from '#test-e2e/support/fleet.ts';
import { probeShard } from '#test-e2e/support/fleet-probe.ts';
import { storedRows } from '#test-e2e/support/migration-leaks.ts';
import { endedAs, migration, tellMigration } from '#test-e2e/support/migrations.ts';
import { type NamespaceObjectStore, startObjectStore } from '#test-e2e/support/object-store.ts';
import { destroyVolumes } from '#test-e2e/support/pod-faults.ts';
import { BackupPolicies, ShardClusters, Shards } from '#test-e2e/support/resources.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { eventually } from '#test-e2e/support/wait.ts';
import { policy } from './policy.ts';
import { comesBack, everywhere, isWhole, owned, remove, total } from './whole-fleet.ts';

type Recovery = NonNullable<NonNullable<ShardClusterSpec['bootstrap']>['recovery']>;

const space = useNamespace('recovery');
const users = 40;
const owners = 120;
const ballastPerOwner = 40;
const aWhile = { deadlineMs: 420_000 };
let store: NamespaceObjectStore;
/** When each schema file was applied on the fleet that is lost later. */
let schemaOf: Readonly<Record<string, readonly string[]>>;
let beforeDamage: string;
/** Status says it in whole seconds. */
let cutover: string;
let rowsBefore: Readonly<Record<string, number>>;
let ownedBefore: readonly unknown[];

function manifest(name: string, recovery?: Recovery, members: FleetOptions = single): FleetManifest {
  return fleet({
    name,
    ...members,
    shards: 2,
    storage: { size: '512Mi' },
    schema: { configMaps: [{ name: 'schema' }, { name: 'load-schema' }] },
    sharding: { algorithm: 'hash', tables: [...usualTables, ...loadTables] },
    ...(recovery ? { bootstrap: { recovery } } : {}),
  });
}

const schemaFiles = "SELECT name || ' ' || applied_at FROM shardwright.schema_file ORDER BY 1";
const hasLaterFile = "SELECT count(*) FROM shardwright.schema_file WHERE name ~ '02-later'";
const countries = "SELECT code || '=' || name FROM countries ORDER BY 1";

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(usualSchema);
  await ns.apply(loadSchemaOf());
  await ns.apply({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'key' },
    stringData: { passphrase: 'the right one' },
  });
  await ns.apply(manifest('fleet'));
  [store] = await Promise.all([startObjectStore(ns), ns.current()]);
  await ns.apply(policy(store, { destinations: [{ s3: store.s3, encryption: { secretName: 'key' } }] }));
  await using client = await connectClient(ns);
  await client.reference('countries').upsert([
    { code: 'NZ', name: 'New Zealand' },
    { code: 'PE', name: 'Perú' },
  ]);
  await ns.until(BackupPolicies, 'nightly', hasCondition('Ready', 'True'), aWhile);
});

it('lives: users, a damage to all of them, another schema file', async () => {
  const ns = space.current;
  {
    await using client = await connectClient(ns);
    for (let id = 1; id <= users; id++)
      await client.forKey(id).query('INSERT INTO users VALUES ($1, $2)', [id, `user ${id}`]);
  }
  await new Promise(resolve => setTimeout(resolve, 100));
  beforeDamage = new Date().toISOString();
  await new Promise(resolve => setTimeout(resolve, 100));
  await everywhere(ns, 'fleet', 'DELETE FROM users');
  expect(await total(ns, 'fleet', 'SELECT count(*) FROM users')).toBe(0);
  schemaOf = await everywhere(ns, 'fleet', schemaFiles);
  const later = { data: { '02-later.sql': 'ALTER TABLE users ADD COLUMN later text' } };
  await ns.patch(ConfigMaps, 'schema', later);
  await eventually('the later file is applied', ns.name, async () =>
    (await total(ns, 'fleet', hasLaterFile)) === 2 ? true : undefined,
  );
});

it('has slots moved while it is written to', async () => {
  const ns = space.current;
  const load = await startLoad(ns, { ballastPerOwner, shape: { owners } });
  await ns.apply(
    migration('there', {
      slots: { from: 'fleet-0', to: 'fleet-1', ranges: [{ first: 0, last: 4095 }] },
      // What is copied, and the way back, are there for some seconds before and after the change.
      rollbackWindow: '5s',
    }),
  );
  const ended = await endedAs(ns, 'there', 'Completed');
  tellMigration('there', ended);
  cutover = ended.status?.cutover?.time ?? '';
  const { report } = await nothingWentWrong('slots there', load);
  rowsBefore = report.rows;
  ownedBefore = await owned(ns, 'fleet');
  expect(ownedBefore).toEqual([
    [0, 4096],
    [1, 12_288],
  ]);
});

it('comes back when it is gone with every volume: map, schema, and every write that was older than status said', async () => {
  const ns = space.current;
  const generations = (await ns.shards()).map(({ spec }) => spec.generation);
  const allFiles = await everywhere(ns, 'fleet', schemaFiles);
  const probe = await probeShard(ns);
  await new Promise(resolve => setTimeout(resolve, 20_000));
  const { status } = await ns.until(Shards, 'fleet-0', shard =>
    (shard?.status?.achievedRpoSeconds ?? 0) > 0 ? undefined : 'its status knows of no write yet',
  );
  const declaredSeconds = status?.achievedRpoSeconds ?? 0;
  const lostAtMs = Date.now();
  await destroyVolumes(ns, ['fleet-0', 'fleet-1']);
  const records = await probe.abandon();
  await remove(ns, 'fleet');

  await ns.apply(manifest('fleet', { policy: 'nightly', cluster: 'fleet' }, { members: 2 }));
  await comesBack(ns, 'fleet');
  const present = Object.values(await everywhere(ns, 'fleet', 'SELECT id FROM probe_writes'))
    .flat()
    .map(Number);
  const loss = lossOf(records, new Set(present), lostAtMs, declaredSeconds);
  process.stderr.write(`declared ${declaredSeconds} s; ${JSON.stringify(loss)}\n`);
  expect(loss.acknowledged).toBeGreaterThan(0);
  expect(loss.lostBeyondDeclared).toBe(0);

  expect(await owned(ns, 'fleet')).toEqual(ownedBefore);
  expect(await storedRows(ns)).toEqual(rowsBefore);
  expect(await total(ns, 'fleet', 'SELECT count(*) FROM users')).toBe(0);
  expect(await everywhere(ns, 'fleet', schemaFiles)).toEqual(allFiles);
  const reference = ['NZ=New Zealand', 'PE=Perú'];
  expect(await everywhere(ns, 'fleet', countries)).toEqual({ 0: reference, 1: reference });
  await isWhole(ns, 'fleet');
  for (const [index, { spec }] of (await ns.shards()).entries())
    expect(spec.generation).toBeGreaterThan(generations[index] ?? 0);
});

it('is a fleet like any other then: written to by its applications, and backed up again', async () => {
  const ns = space.current;
  await using client = await connectClient(ns);
  for (let id = 1; id <= 10; id++)
    await client.forKey(id).query('INSERT INTO users VALUES ($1, $2)', [id, 'new']);
  await client.reference('countries').upsert([{ code: 'FO', name: 'Føroyar' }]);
  const { rows } = await client.forKey(1).query('SELECT count(*)::int AS n FROM countries');
  expect(rows).toEqual([{ n: 3 }]);
  for (const shard of ['fleet-0', 'fleet-1'])
    await ns.until(
      Shards,
      shard,
      found => (found?.status?.backup?.lastFull ? undefined : 'it has no full backup of its own'),
      aWhile,
    );
});

it('says that the passphrase is wrong, and goes on once it is right: to the moment before the damage, beside the fleet', async () => {
  const ns = space.current;
  const started = await everywhere(ns, 'fleet', 'SELECT pg_postmaster_start_time()');
  await ns.apply({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'other-key' },
    stringData: { passphrase: 'another one' },
  });
  const other = policy(store, {
    clusters: { names: ['nobody'] },
    destinations: [{ s3: store.s3, encryption: { secretName: 'other-key' } }],
  });
  await ns.apply({ ...other, metadata: { name: 'other' } });
  await ns.apply(manifest('earlier', { policy: 'other', cluster: 'fleet', targetTime: beforeDamage }));
  const failed = await ns.until(ShardClusters, 'earlier', hasCondition('Stalled', 'True', 'RecoveryFailed'));
  expect(conditionOf(failed, 'Stalled')?.message).toMatch(
    /Job earlier-catalog-0: the repository cannot be read.*kubectl annotate shardcluster earlier/,
  );
  await ns.patch(Secrets, 'other-key', { stringData: { passphrase: 'the right one' } });
  await ns.patch(ShardClusters, 'earlier', { metadata: { annotations: { [annotations.retry]: 'right' } } });
  await ns.until(ShardClusters, 'earlier', hasCondition('Stalled', 'False'));
  await comesBack(ns, 'earlier');

  expect(await total(ns, 'earlier', 'SELECT count(*) FROM users')).toBe(users);
  expect(await total(ns, 'earlier', 'SELECT count(*) FROM accounts')).toBe(0);
  expect(await owned(ns, 'earlier')).toEqual([
    [0, 8192],
    [1, 8192],
  ]);
  // What was applied by then came with the data; the file that came later is applied now.
  const files = await everywhere(ns, 'earlier', schemaFiles);
  for (const [ordinal, before] of Object.entries(schemaOf)) {
    expect(files[ordinal]).toEqual(expect.arrayContaining([...before]));
    expect(files[ordinal]).toHaveLength(before.length + 1);
  }
  await isWhole(ns, 'earlier');
  expect(await everywhere(ns, 'fleet', 'SELECT pg_postmaster_start_time()')).toEqual(started);
  await remove(ns, 'earlier');
});

it('says that a time is too early, and leaves nothing', async () => {
  const ns = space.current;
  await ns.apply(
    manifest('across', { policy: 'nightly', cluster: 'fleet', targetTime: '2020-01-01T00:00:00Z' }),
  );
  const failed = await ns.until(ShardClusters, 'across', hasCondition('Stalled', 'True', 'RecoveryFailed'));
  expect(conditionOf(failed, 'Stalled')?.message).toMatch(
    /targetTime 2020-01-01T00:00:00Z is too early: the object store holds incarnation [0-9a-f]{8} from/,
  );
  await remove(ns, 'across');
});

it.each([-1, 0, 1])(
  'comes back whole %i s off the second in which a migration changed owners',
  async seconds => {
    const ns = space.current;
    const targetTime = new Date(Date.parse(cutover) + seconds * 1000).toISOString();
    await ns.apply(manifest('across', { policy: 'nightly', cluster: 'fleet', targetTime }));
    await comesBack(ns, 'across');
    const slots = await owned(ns, 'across');
    process.stderr.write(`${targetTime}: slots of shards ${JSON.stringify(slots)}\n`);
    expect([
      await total(ns, 'across', 'SELECT count(*) FROM accounts'),
      await total(ns, 'across', 'SELECT coalesce(sum(balance), 0) FROM pots'),
      await total(ns, 'across', 'SELECT coalesce(sum(amount), 0) FROM entries'),
      await total(ns, 'across', 'SELECT count(*) FROM ballast'),
    ]).toEqual([owners, owners * potsPerOwner * moneyPerPot, 0, owners * ballastPerOwner]);
    await isWhole(ns, 'across');
    await using client = await connectClient(ns, 'across');
    const { rows } = await client.scatter('SELECT count(*)::int AS n FROM accounts');
    expect(rows.reduce((sum, { n }) => sum + Number(n), 0)).toBe(owners);
    await remove(ns, 'across');
  },
);
