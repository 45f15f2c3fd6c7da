/**
 * Migrations on a real API server, beside the real controllers of fleets and shards; the databases are simulated. And a walk: the
 * operator is killed before its n-th write or step in a database, for n from the first to the last that a migration takes.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findCondition } from '#controllers/conditions.ts';
import { isReady } from '#controllers/testing/fleet-conditions.ts';
import { fleetHarness, type Harness } from '#controllers/testing/fleet-harness.ts';
import { KillPoint } from '#controllers/testing/kill-point.ts';
import { untilObject } from '#controllers/testing/until-object.ts';
import { parseShardMigration, type ShardMigration } from '#crds/api/shard-migration.ts';
import { eventually } from '#hack/api-test.ts';
import { orUndefined } from '#kernel/errors.ts';
import { ConfigMaps, StatefulSets } from '#kernel/resources.ts';
import type { ShardMap, Side } from '#sharding/map.ts';
import { createRouter } from '#sharding/router.ts';
import { ShardMigrations, Shards } from './caches.ts';
import { isMapPage, readMap } from './shard-map/config-maps.ts';

const ROWS = 256;

let cleanup: AsyncDisposableStack;

beforeEach(() => {
  cleanup = new AsyncDisposableStack();
});

afterEach(() => cleanup.disposeAsync());

interface Fleet extends Harness {
  begin(name: string, spec: object): Promise<void>;
  migration(name: string): Promise<ShardMigration>;
  reaches(name: string, phase: string): Promise<ShardMigration>;
}

/** Two shards with a row in every slot, whose streams flow. */
async function fleetWithRows(stack: AsyncDisposableStack, ofFleet: object = {}): Promise<Fleet> {
  const fleet = await fleetHarness(stack);
  const { client, namespace, databases } = fleet;
  const flowing = setInterval(() => databases.transfers.flow(20), 20);
  stack.defer(() => clearInterval(flowing));
  await fleet.apply(ofFleet);
  for (let id = 0; id < ROWS; id++) {
    const owner = databases.transfers.of(id < 128 ? 'fleet-0' : 'fleet-1');
    owner.put({ id, value: `row ${id}`, replicated: false });
  }
  const migration = async (name: string) =>
    parseShardMigration(await client.get(ShardMigrations, { namespace, name }));
  return {
    ...fleet,
    migration,
    async begin(name, spec) {
      await client.create({
        apiVersion: ShardMigrations.apiVersion,
        kind: ShardMigrations.kind,
        metadata: { namespace, name },
        spec: { cluster: { name: 'fleet' }, rollbackWindow: '1ms', ...spec },
      });
    },
    reaches: (name, phase) =>
      untilObject(
        `${name} in phase ${phase}`,
        () => migration(name),
        ({ status }) => status?.phase === phase,
        90_000,
      ),
  };
}

const isUp = (fleet: Harness) => fleet.until('Ready', isReady);

/** Every row is at its owner by the map, once, and nothing of a migration is left. */
async function expectWhole({ client, namespace, databases }: Harness): Promise<void> {
  const { items } = await client.list(ConfigMaps, { namespace });
  const facts = readMap(items.filter(isMapPage));
  if (facts.kind !== 'Present') throw new Error(`the map is ${facts.kind}`);
  expect(facts.stored.markedBy).toBeUndefined();
  const { map } = facts.stored;
  const owner = { write: ownerOf(map, 'write'), read: ownerOf(map, 'read') };
  const found = new Map<number, string>();
  for (const database of databases.transfers.databases) {
    for (const id of database.rows.keys()) {
      expect(found.get(id), `row ${id} is in two shards`).toBeUndefined();
      found.set(id, database.name);
    }
    expect([...database.journals.keys()]).toEqual([]);
  }
  expect(found.size).toBe(ROWS);
  for (const [id, name] of found) {
    expect([id, name]).toEqual([id, `fleet-${owner.write(id)}`]);
    expect(owner.read(id)).toBe(owner.write(id));
  }
  await until(() => leftLogins(databases).length === 0);
  expect(leftLogins(databases)).toEqual([]);
}

/** By the slot of a row, which is its key where the fleet is divided by ranges. */
function ownerOf(map: ShardMap, side: Side): (slot: number) => number | undefined {
  const { ownership } = map;
  if (ownership.algorithm === 'hash') return slot => ownership.owners[side][slot];
  const router = createRouter(map);
  return slot => (side === 'write' ? router.route(slot) : router.routeRead(slot)).ordinal;
}

/** Whether it comes true or not, for an assertion that says more. */
async function until(holds: () => boolean): Promise<void> {
  try {
    await eventually(() => (holds() ? true : undefined));
  } catch {
    // What is asserted next says what is the matter.
  }
}

/** Logins beyond the two that a shard has. */
function leftLogins({ transfers }: Harness['databases']): readonly string[] {
  return transfers.databases
    .filter(({ logins }) => logins.size !== 2)
    .map(({ name, logins }) => `${name}: ${[...logins].join(', ')}`);
}

describe('migrations', () => {
  test('a split, and a merge that takes it back', { timeout: 240_000 }, async () => {
    const fleet = await fleetWithRows(cleanup);
    fleet.start();
    await isUp(fleet);
    await fleet.begin('split', { split: { shard: 'fleet-0', into: 2 } });
    const stalled = await eventually(async () => {
      const found = findCondition(await fleet.migration('split'), 'Stalled');
      return found?.status === 'True' ? found : undefined;
    });
    expect(stalled).toMatchObject({ reason: 'NoEmptyShard' });
    expect(stalled.message).toContain('set spec.shards to 3');
    await fleet.apply({ shards: 3 });
    const split = await fleet.reaches('split', 'Completed');
    expect(split.status?.cutover).toMatchObject({
      writeStallMs: expect.any(Number),
      epoch: expect.any(Number),
    });
    await eventually(async () =>
      (await fleet.migration('split')).metadata.finalizers?.length ? undefined : true,
    );
    await isUp(fleet);
    await expectWhole(fleet);
    await fleet.apply({ shards: 2 });
    await fleet.begin('merge', { merge: { shards: ['fleet-0', 'fleet-2'] } });
    await fleet.reaches('merge', 'Completed');
    await eventually(async () => {
      const gone = await orUndefined(
        fleet.client.get(Shards, { namespace: fleet.namespace, name: 'fleet-2' }),
      );
      return gone === undefined || gone.metadata.deletionTimestamp ? true : undefined;
    });
    await expectWhole(fleet);
  });

  test('a move onto another storage class', { timeout: 240_000 }, async () => {
    const fleet = await fleetWithRows(cleanup, { storage: { size: '1Gi', storageClassName: 'growing' } });
    fleet.start();
    await isUp(fleet);
    const { client, namespace } = fleet;
    await fleet.begin('nowhere', { move: { shard: 'fleet-0', storageClassName: 'nowhere' } });
    const stalled = await eventually(async () => {
      const found = findCondition(await fleet.migration('nowhere'), 'Stalled');
      return found?.status === 'True' ? found : undefined;
    });
    expect(stalled).toMatchObject({
      reason: 'NoSuchStorageClass',
      message: expect.stringContaining('there is no StorageClass nowhere'),
    });
    await fleet.begin('move', { move: { shard: 'fleet-1', storageClassName: 'fixed' } });
    const { status } = await fleet.reaches('move', 'Completed');
    expect(status?.newShard).toEqual({ name: 'fleet-2', ordinal: 2, storageClassName: 'fixed' });
    await eventually(async () => {
      const gone = await orUndefined(client.get(Shards, { namespace, name: 'fleet-1' }));
      return gone === undefined || gone.metadata.deletionTimestamp ? true : undefined;
    });
    await expectWhole(fleet);
    // Later passes over the fleet leave it where it is: the spec speaks of shards to come.
    await fleet.apply({ shards: 3, storage: { size: '1Gi', storageClassName: 'growing' } });
    const made = (ordinal: number) =>
      eventually(() => orUndefined(client.get(StatefulSets, { namespace, name: `fleet-${ordinal}` })));
    await made(3);
    await isUp(fleet);
    const sets = await Promise.all([0, 2, 3].map(made));
    const classes = sets.map(({ spec }) => spec?.volumeClaimTemplates?.[0]?.spec?.storageClassName);
    expect(classes).toEqual(['growing', 'fixed', 'growing']);
  });

  test('a lone range of keys is split, and a split is rolled back', { timeout: 240_000 }, async () => {
    const sharding = {
      algorithm: 'range',
      slots: 256,
      range: { splitPoints: ['128'] },
      tables: [{ name: 't', key: 'id' }],
    };
    const fleet = await fleetWithRows(cleanup, { sharding });
    fleet.start();
    await isUp(fleet);
    await fleet.apply({ sharding, shards: 4 });
    await isUp(fleet);
    await fleet.begin('whole', { split: { shard: 'fleet-0' } });
    const stalled = await eventually(async () => {
      const found = findCondition(await fleet.migration('whole'), 'Stalled');
      return found?.status === 'True' ? found : undefined;
    });
    expect(stalled).toMatchObject({ reason: 'TooFewParts', message: expect.stringContaining('split.at') });
    await fleet.client.delete(ShardMigrations, { namespace: fleet.namespace, name: 'whole' });
    const split = { shard: 'fleet-0', into: 3, at: ['40', '80'] };
    await fleet.begin('back', { split, rollbackWindow: '1h' });
    await fleet.reaches('back', 'VerifyAndCleanup');
    await fleet.client.patch(
      ShardMigrations,
      { namespace: fleet.namespace, name: 'back' },
      { type: 'merge', body: { spec: { abort: true } } },
    );
    await fleet.reaches('back', 'RolledBack');
    await expectWhole(fleet);
    await fleet.begin('split', { split });
    await fleet.reaches('split', 'Completed');
    await expectWhole(fleet);
    const counts = [0, 1, 2, 3].map(n => fleet.databases.transfers.of(`fleet-${n}`).rows.size);
    expect(counts).toEqual([40, 128, 40, 48]);
  });

  test('aborted, rolled back and deleted', { timeout: 240_000 }, async () => {
    const fleet = await fleetWithRows(cleanup);
    fleet.start();
    await isUp(fleet);
    const slots = { from: 'fleet-0', to: 'fleet-1', ranges: [{ first: 0, last: 31 }] };
    const at = (name: string) => ({ namespace: fleet.namespace, name });
    const edit = (name: string, spec: object) =>
      fleet.client.patch(ShardMigrations, at(name), { type: 'merge', body: { spec } });

    await fleet.begin('abort', { slots, cutover: { mode: 'Manual' } });
    await fleet.reaches('abort', 'SwitchWrites');
    await edit('abort', { abort: true });
    const aborted = await fleet.reaches('abort', 'Aborted');
    expect(aborted.status?.cutover).toBeUndefined();
    await expectWhole(fleet);

    await fleet.begin('back', { slots, rollbackWindow: '1h' });
    await fleet.reaches('back', 'VerifyAndCleanup');
    await edit('back', { abort: true });
    await fleet.reaches('back', 'RolledBack');
    await expectWhole(fleet);

    await fleet.begin('finish', { slots, rollbackWindow: '1h' });
    await fleet.reaches('finish', 'VerifyAndCleanup');
    await fleet.client.delete(ShardMigrations, at('finish'));
    await eventually(async () =>
      (await orUndefined(fleet.client.get(ShardMigrations, at('finish')))) ? undefined : true,
    );
    await expectWhole(fleet);
  });
});

/** Fleets side by side: most of the time is waiting. */
const LANES = 3;
/** Of all points every so many is walked here; crash.test.ts walks all of them in memory. */
const STRIDE = 3;

test('killed before writes and steps, a migration goes on where it stopped', {
  timeout: 580_000,
}, async () => {
  let next = 0;
  let last = Number.POSITIVE_INFINITY;
  const take = () => STRIDE * next++;
  const lane = async () => {
    await using stack = new AsyncDisposableStack();
    const fleet = await fleetWithRows(stack);
    await using first = fleet.start();
    await isUp(fleet);
    await first[Symbol.asyncDispose]();
    let [from, to] = ['fleet-0', 'fleet-1'];
    for (let n = take(); n < last; n = take()) {
      const killed = await walk(fleet, n, { from, to, ranges: [{ first: 0, last: 31 }] });
      // One that nothing could kill has fewer points than that.
      if (!killed) last = Math.min(last, n);
      await expectWhole(fleet);
      [from, to] = [to, from];
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  expect(last).toBeGreaterThan(40);
});

async function walk(fleet: Fleet, killBefore: number, slots: object): Promise<boolean> {
  const kill = new KillPoint(killBefore);
  kill.armed = false;
  const name = `walk-${killBefore}`;
  {
    const first = fleet.start({ guardWrite: kill.pass });
    fleet.databases.transfers.onStep = kill.pass;
    await fleet.begin(name, { slots });
    kill.armed = true;
    await eventually(
      async () =>
        kill.killed || (await fleet.migration(name)).status?.phase === 'Completed' ? true : undefined,
      90_000,
    );
    await first[Symbol.asyncDispose]();
  }
  fleet.databases.transfers.onStep = () => undefined;
  const second = fleet.start();
  await fleet.reaches(name, 'Completed');
  await isUp(fleet);
  await second[Symbol.asyncDispose]();
  return kill.killed;
}
