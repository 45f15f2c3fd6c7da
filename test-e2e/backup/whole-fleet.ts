/** What a test asks of a whole fleet: its databases, its map, and whether anything of it is where it should not be. */
import { expect } from 'vitest';
import { loadTables } from '#test-e2e/load/shape.ts';
import { connectClient } from '#test-e2e/support/client.ts';
import { conditionOf, isCurrent } from '#test-e2e/support/conditions.ts';
import { onlyLeft } from '#test-e2e/support/leaks.ts';
import { strangers } from '#test-e2e/support/migration-leaks.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';
import { ShardClusters } from '#test-e2e/support/resources.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';

/** What the primary of each shard answers, by its ordinal. */
export async function everywhere(
  ns: TestNamespace,
  name: string,
  sql: string,
): Promise<Record<string, readonly string[]>> {
  const answers: Record<string, readonly string[]> = {};
  for (const { metadata, spec } of await ns.shards(name))
    answers[spec.ordinal] = await superuserSql(ns, await ns.primaryOf(metadata.name), sql);
  return answers;
}

/** Over all shards. */
export async function total(ns: TestNamespace, name: string, sql: string): Promise<number> {
  const answers = Object.values(await everywhere(ns, name, sql)).flat();
  return answers.reduce((sum, each) => sum + Number(each), 0);
}

/** Ordinals, and how many slots each owns by the map. */
export async function owned(ns: TestNamespace, name: string): Promise<readonly unknown[]> {
  return (await ns.shards(name)).map(({ spec }) => [spec.ordinal, spec.sharding.slotCount ?? 0]);
}

/** Nothing of it stays, its volumes included. */
export async function remove(ns: TestNamespace, name: string): Promise<void> {
  await ns.delete(ShardClusters, name);
  await ns.gone(ShardClusters, name);
  await onlyLeft(ns.name, name);
}

/** Waits until a fleet that is being recovered is one like any other. A recovery that gives up fails at once. */
export async function comesBack(ns: TestNamespace, name: string): Promise<void> {
  await ns.until(
    ShardClusters,
    name,
    object => {
      const stalled = object && conditionOf(object, 'Stalled');
      if (stalled?.status === 'True') throw new Error(`${name}: ${stalled.reason}: ${stalled.message}`);
      return isCurrent(object);
    },
    { deadlineMs: 420_000 },
  );
}

/** Nothing that a migration makes is in any of its databases, and no row is where it does not belong. */
export async function isWhole(ns: TestNamespace, name: string): Promise<void> {
  const traces = `SELECT (SELECT count(*) FROM shardwright.transfer) + (SELECT count(*) FROM pg_policy)
    + (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_subscription)
    + (SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical')
    + (SELECT count(*) FROM pg_roles WHERE rolname ~ 'mover')`;
  expect(await everywhere(ns, name, traces)).toEqual({ 0: ['0'], 1: ['0'] });
  await using client = await connectClient(ns, name);
  await client.ready();
  for (const { metadata } of await ns.shards(name))
    expect(await strangers(ns, client, metadata.name, loadTables)).toEqual([]);
}
