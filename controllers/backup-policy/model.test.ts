/**
 * Random days: stores that fail, primaries that fall silent, Jobs that hang or vanish, people who ask for things and take fleets
 * in and out, operators that are killed. What must hold at every moment is checked at every write; when all is well again, the
 * fleet is protected again, nothing is left over, and nobody was backed up more often than somebody wanted it.
 */
import { array, assert, asyncProperty, constantFrom, nat, oneof, record, tuple } from 'fast-check';
import { expect, test } from 'vitest';
import { BackupWorld } from '#controllers/testing/backup-world.ts';
import type { ShardBackupStatus } from '#crds/api/backup/shard-status.ts';
import { annotations } from '#crds/api/names.ts';

const shards = ['social-0', 'social-1', 'social-2'];
const shard = constantFrom(...shards);

const fault = oneof(
  record({ kind: constantFrom('behind', 'hole', 'unverified', 'silent', 'well'), shard }),
  record({ kind: constantFrom('jobs fail', 'jobs hang', 'jobs end without a word', 'jobs do well') }),
  record({ kind: constantFrom('remove the job'), shard }),
  record({ kind: constantFrom('kill at a write', 'refuse a write'), after: nat(6) }),
  record({ kind: constantFrom('ask for a backup', 'ask for a drill'), shard }),
  record({ kind: constantFrom('ask for all', 'drill a sample', 'restart', 'release', 'bind') }),
  record({ kind: constantFrom('lose the Secret', 'find the Secret') }),
);
type Fault = typeof fault extends { generate(...args: never): { value: infer T } } ? T : never;

function inflict(world: BackupWorld, what: Fault): void {
  const policy = world.policies.get('nightly');
  switch (what.kind) {
    case 'behind':
      return void world.meters.set(what.shard, { rpoSeconds: 30, failure: 'the store does not answer' });
    case 'hole':
      return void world.meters.set(what.shard, { continuity: 'Broken' });
    case 'unverified':
      return void world.meters.set(what.shard, { continuity: 'Unverified' });
    case 'silent':
      return void world.meters.set(what.shard, undefined);
    case 'well':
      return void world.meters.delete(what.shard);
    case 'jobs fail':
      world.ends = () => 'fails';
      return;
    case 'jobs hang':
      world.ends = () => 'stuck';
      return;
    case 'jobs end without a word':
      world.ends = () => 'silent';
      return;
    case 'jobs do well':
      world.ends = () => 'ok';
      return;
    case 'remove the job':
      return world.jobs.remove(`${what.shard}-backup`);
    case 'kill at a write':
    case 'refuse a write':
      world.crash = what.kind === 'kill at a write' ? 'killed' : 'refused';
      world.crashAt = world.points + what.after;
      return;
    case 'ask for a backup':
      return world.annotate(world.shards, what.shard, annotations.backupNow, 'full');
    case 'ask for a drill':
      return world.annotate(world.shards, what.shard, annotations.drillNow, 'now');
    case 'ask for all':
      return policy && world.annotate(world.policies, 'nightly', annotations.backupNow, 'incremental');
    case 'drill a sample':
      return policy && world.annotate(world.policies, 'nightly', annotations.drillNow, 'now');
    case 'restart':
      return world.restart();
    case 'release':
      return world.policies.remove('nightly');
    case 'bind':
      return policy ? undefined : world.addPolicy('nightly');
    case 'lose the Secret':
      return void world.secrets.delete('s3');
    case 'find the Secret':
      return world.secret('s3', { 'access-key-id': 'id', 'secret-access-key': 'secret' });
  }
}

function heal(world: BackupWorld): void {
  world.crashAt = Number.POSITIVE_INFINITY;
  world.meters.clear();
  world.ends = () => 'ok';
  world.secret('s3', { 'access-key-id': 'id', 'secret-access-key': 'secret' });
  if (!world.policies.get('nightly')) world.addPolicy('nightly');
}

const day = array(tuple(fault, constantFrom(1, 2, 5, 30)), { minLength: 1, maxLength: 25 });

/** What was asked for anew has failed, and is tried again when all is well already. */
const failsAgain: [Fault, number][] = [
  [{ kind: 'ask for a backup', shard: 'social-0' }, 5],
  [{ kind: 'find the Secret' }, 1],
  [{ kind: 'jobs end without a word' }, 1],
  [{ kind: 'ask for a backup', shard: 'social-0' }, 5],
];

/** The policy's sums may be a moment behind; and what has failed is tried again by itself, after a while. */
function isIdle(backup: ShardBackupStatus | undefined): boolean {
  return backup?.asked === undefined && backup?.running === undefined && backup?.failed === undefined;
}

test('any day ends well', { timeout: 120_000 }, async () => {
  await assert(
    asyncProperty(day, async faults => {
      const world = new BackupWorld({ shards: shards.length });
      for (const [what, seconds] of faults) {
        inflict(world, what);
        await world.second(seconds === 1 ? 1 : 5);
        await world.run(seconds % 7);
      }
      heal(world);
      const settled = () =>
        world.status('nightly').phase === 'Protected' &&
        world.status('nightly').backups?.waiting === 0 &&
        world.status('nightly').backups?.running === 0 &&
        shards.every(name => isIdle(world.backup(name))) &&
        world.condition('RTOMet')?.startsWith('False') !== true &&
        world.jobs.all().every(({ metadata }) => !metadata.name.endsWith('drill'));
      // Shards whose last drill has failed are drilled again.
      for (let i = 0; !settled(); i++) {
        expect(i, `not settled: ${JSON.stringify(world.status('nightly').conditions)}`).toBeLessThan(8);
        if (world.condition('RTOMet')?.startsWith('False') === true) {
          world.annotate(world.policies, 'nightly', annotations.drillNow, 'again');
        }
        for (let minute = 0; minute < 70 && !settled(); minute++) await world.second(60);
      }
      // Nothing more is made by itself before the next moment of the schedule.
      const made = () => [...world.repository.values()].flat().length;
      await world.run(20);
      const before = made();
      const minute = world.clock.now().getUTCMinutes();
      if (minute < 50) await world.run(60);
      expect(minute < 50 ? made() : before).toBe(before);
    }),
    { numRuns: 40, examples: [[failsAgain]] },
  );
});
