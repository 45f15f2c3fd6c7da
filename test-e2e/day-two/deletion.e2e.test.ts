/** deletionPolicy decides about the volumes; deleting ends in any case. */
import { beforeAll, expect, it } from 'vitest';
import { PersistentVolumeClaims, Pods } from '#kernel/resources.ts';
import { fleet, single, usual, usualSchema } from '#test-e2e/support/fleet.ts';
import { onlyLeft } from '#test-e2e/support/leaks.ts';
import { ShardClusters } from '#test-e2e/support/resources.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { eventually } from '#test-e2e/support/wait.ts';

const space = useNamespace('deletion');

beforeAll(() => space.current.apply(usualSchema));

it('Delete takes everything with it', async () => {
  const ns = space.current;
  await ns.apply(fleet({ ...usual, ...single, name: 'gone', deletionPolicy: 'Delete' }));
  await ns.current('gone');
  await ns.delete(ShardClusters, 'gone');
  await ns.gone(ShardClusters, 'gone');
  await onlyLeft(ns.name, 'gone');
});

it('Retain keeps the volumes, and a fleet of that name finds its data on them again', async () => {
  const ns = space.current;
  const kept = fleet({ ...usual, ...single, name: 'kept', deletionPolicy: 'Retain' });
  await ns.apply(kept);
  await ns.current('kept');
  await superuserSql(ns, 'kept-0-0', "INSERT INTO users VALUES (1, 'Ada')");
  await ns.delete(ShardClusters, 'kept');
  await ns.gone(ShardClusters, 'kept');
  await onlyLeft(ns.name, 'kept', ['PersistentVolumeClaim/data-kept-0-0']);

  await ns.apply({ ...kept, spec: { ...kept.spec, deletionPolicy: 'Delete' } });
  await ns.current('kept');
  expect(await superuserSql(ns, 'kept-0-0', 'SELECT name FROM users')).toEqual(['Ada']);
});

it('a fleet that is deleted and applied again at once is a new fleet, and gets ready', async () => {
  const ns = space.current;
  const again = fleet({ ...usual, ...single, name: 'again', deletionPolicy: 'Delete' });
  await ns.apply(again);
  await ns.current('again');
  const before = await ns.secret('again-app');
  await superuserSql(ns, 'again-0-0', "INSERT INTO users VALUES (1, 'Ada')");
  await ns.delete(ShardClusters, 'again');
  await ns.gone(ShardClusters, 'again');
  await ns.apply(again);
  await ns.current('again', { deadlineMs: 300_000 });
  expect((await ns.secret('again-app'))['password']).not.toBe(before['password']);
  expect(await superuserSql(ns, 'again-0-0', 'SELECT count(*) FROM users')).toEqual(['0']);
});

it('Forbid waits, working on, until the policy is changed', async () => {
  const ns = space.current;
  await ns.apply(fleet({ ...usual, ...single, name: 'held', deletionPolicy: 'Forbid' }));
  await ns.current('held');
  await ns.delete(ShardClusters, 'held');
  const waiting = await ns.until(ShardClusters, 'held', object =>
    object?.status?.conditions?.some(
      ({ status, message }) => status === 'True' && message.includes('deletionPolicy'),
    )
      ? undefined
      : 'no condition says that deletion waits for deletionPolicy',
  );
  expect(waiting.metadata.deletionTimestamp).toBeDefined();
  expect(await superuserSql(ns, 'held-0-0', 'SELECT 1')).toEqual(['1']);
  await ns.patch(ShardClusters, 'held', { spec: { deletionPolicy: 'Delete' } });
  await ns.gone(ShardClusters, 'held');
  await onlyLeft(ns.name, 'held');
});

it('does not hang on a fleet that never became ready', async () => {
  const ns = space.current;
  await ns.apply(
    fleet({
      ...single,
      name: 'stuck',
      engine: { image: 'shardwright/no-such-image:0' },
      deletionPolicy: 'Delete',
    }),
  );
  await ns.until(Pods, 'stuck-0-0', pod => (pod ? undefined : 'it is not there'));
  await ns.delete(ShardClusters, 'stuck');
  await ns.gone(ShardClusters, 'stuck');
  await onlyLeft(ns.name, 'stuck');
});

it('leaves no volume behind that nobody claims', async () => {
  const ns = space.current;
  for (const name of ['kept', 'again']) {
    await ns.delete(ShardClusters, name);
    await ns.gone(ShardClusters, name);
  }
  await eventually('all claims are gone', ns.name, async () =>
    (await ns.list(PersistentVolumeClaims)).length === 0 ? true : undefined,
  );
});
