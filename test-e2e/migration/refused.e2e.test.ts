/** What cannot be done is said at once, with what to write instead, and touches nothing. */
import { beforeAll, describe, expect, it } from 'vitest';
import { conditionOf, hasCondition } from '#test-e2e/support/conditions.ts';
import { single } from '#test-e2e/support/fleet.ts';
import { nothingLeft, type Traces } from '#test-e2e/support/migration-leaks.ts';
import { endedAs, migration, patchMigration, phaseOf, reached } from '#test-e2e/support/migrations.ts';
import { ShardMigrations } from '#test-e2e/support/resources.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { setUp } from './scene.ts';

const space = useNamespace('refused-moves');
type Spec = Parameters<typeof migration>[1];
let before: Traces;

beforeAll(async () => {
  before = await setUp(space.current, { ...single, shards: 2 });
});

const slots = (first: number, last: number, from = 'fleet-0', to = 'fleet-1'): Spec => ({
  slots: { from, to, ranges: [{ first, last }] },
});

describe('by the API server', () => {
  const wrong: readonly [what: string, spec: Spec, says: RegExp][] = [
    ['a split into one', { split: { shard: 'fleet-0', into: 1 } }, /greater than or equal to 2/],
    ['a merge of one shard', { merge: { shards: ['fleet-0'] } }, /at least 2 items/],
    [
      'a merge into a stranger',
      { merge: { shards: ['fleet-0', 'fleet-1'], into: 'fleet-9' } },
      /one of merge.shards/,
    ],
    ['slots from a shard to itself', slots(0, 9, 'fleet-0', 'fleet-0'), /two different shards/],
    [
      'ranges that overlap',
      {
        slots: {
          from: 'fleet-0',
          to: 'fleet-1',
          ranges: [
            { first: 0, last: 9 },
            { first: 9, last: 12 },
          ],
        },
      },
      /overlap/,
    ],
    ['two operations', { ...slots(0, 9), split: { shard: 'fleet-0' } }, /exactly one of/],
    ['no operation', {}, /exactly one of/],
  ];

  it.each(wrong)('%s', async (_what, spec, says) => {
    await expect(space.current.apply(migration('wrong', spec))).rejects.toThrow(says);
  });
});

describe('by the operator', () => {
  const wrong: readonly [what: string, spec: Spec, says: RegExp][] = [
    ['an unknown fleet', { cluster: { name: 'nobody' }, ...slots(0, 9) }, /nobody/],
    ['an unknown shard', { split: { shard: 'fleet-7' } }, /fleet-7/],
    ['slots that the source does not own', slots(8190, 8195), /fleet-0[^]*819[0-5]/],
    ['slots that the fleet does not have', slots(16_000, 20_000), /16,?383|20,?000/],
    ['a split without an empty shard', { split: { shard: 'fleet-0' } }, /spec\.shards to 3/],
    [
      'a merge that spec.shards does not want',
      { merge: { shards: ['fleet-0', 'fleet-1'] } },
      /spec\.shards to 1/,
    ],
    ['to give up the first shard', { merge: { shards: ['fleet-0', 'fleet-1'], into: 'fleet-1' } }, /fleet-0/],
  ];

  it.each(wrong)('%s: says so, and what to do', async (what, spec, says) => {
    const ns = space.current;
    const name = what.replaceAll(/[^a-z]+/g, '-').replace(/-$/, '');
    await ns.apply(migration(name, spec));
    const found = await ns.until(ShardMigrations, name, hasCondition('Stalled', 'True'));
    expect(conditionOf(found, 'Stalled')?.message).toMatch(says);
    expect(phaseOf(found)).toBe('Pending');
    await ns.delete(ShardMigrations, name);
    await ns.gone(ShardMigrations, name);
  });

  it('what preflight finds: an error stops before anything is touched, and goes on when it is mended', async () => {
    const ns = space.current;
    for (const shard of ['fleet-0', 'fleet-1']) {
      const sql = 'ALTER TABLE ballast SET UNLOGGED';
      await superuserSql(ns, await ns.primaryOf(shard), sql);
    }
    await ns.apply(migration('unlogged', slots(0, 9)));
    const found = await ns.until(
      ShardMigrations,
      'unlogged',
      hasCondition('Stalled', 'True', 'PreflightFailed'),
    );
    const errors = found.status?.preflight?.findings.filter(({ severity }) => severity === 'error') ?? [];
    expect(JSON.stringify(errors)).toContain('ballast');
    expect(errors.every(({ remedy }) => remedy !== '')).toBe(true);
    await nothingLeft(ns, before);
    for (const shard of ['fleet-0', 'fleet-1']) {
      await superuserSql(ns, await ns.primaryOf(shard), 'ALTER TABLE ballast SET LOGGED');
    }
    await endedAs(ns, 'unlogged', 'Completed');
    await nothingLeft(ns, before);
  });
});

it('a change of what a running migration does, and an abort that is taken back', async () => {
  const ns = space.current;
  const spec = { ...slots(0, 9, 'fleet-1', 'fleet-0'), cutover: { mode: 'Manual' } } as const;
  await ns.apply(migration('running', spec));
  await reached(ns, 'running', 'SyncChanges');
  const other = slots(0, 10, 'fleet-1', 'fleet-0').slots;
  await expect(patchMigration(ns, 'running', { slots: other ?? {} })).rejects.toThrow(/immutable/);
  await patchMigration(ns, 'running', { abort: true });
  await expect(patchMigration(ns, 'running', { abort: false })).rejects.toThrow(/cannot be taken back/);
  await endedAs(ns, 'running', 'Aborted');
  await nothingLeft(ns, before);
});
