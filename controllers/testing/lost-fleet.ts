/** A fleet `lost`, of which the object store has two shards, and what one that comes back from it needs: its policy, its Jobs. */
import type { StoredShard } from '#engines/recovery.ts';
import { backupPolicyManifest, storeSecretManifest } from './backup-policy-manifest.ts';
import type { Harness } from './fleet-harness.ts';
import { keepTurning } from './keep-turning.ts';
import { RecoveryJobs } from './recovery-jobs.ts';

/** For spec.bootstrap.recovery. */
export const recovery = { policy: 'nightly', cluster: 'lost' } as const;

export function storedShard(ordinal: number, slots: number, over: Partial<StoredShard> = {}): StoredShard {
  return {
    ordinal,
    stanza: `lost-${ordinal}`,
    since: '2026-03-01T01:00:00Z',
    until: '2026-03-01T11:59:00Z',
    version: '17',
    databaseBytes: 1,
    about: { ordinal, algorithm: 'hash', keyType: 'bigint', slots },
    ...over,
  };
}

/** Its shards 0 and 2 owned everything when they were lost. The Jobs are at work until the stack is disposed of. */
export function lostFleet({ client, namespace }: Harness, cleanup: AsyncDisposableStack): RecoveryJobs {
  const jobs = new RecoveryJobs(client, namespace);
  jobs.incarnations = [{ id: '0123abcd', shards: [0, 2].map(ordinal => storedShard(ordinal, 256)) }];
  jobs.owned.set('fleet-0', { kind: 'slots', slots: 256, ranges: [{ first: 0, last: 199 }] });
  jobs.owned.set('fleet-2', { kind: 'slots', slots: 256, ranges: [{ first: 200, last: 255 }] });
  keepTurning(cleanup, () => jobs.turn());
  return jobs;
}

export async function makeLostFleetsPolicy({ client, namespace }: Harness): Promise<void> {
  const { policy: name, cluster } = recovery;
  await client.create(storeSecretManifest(namespace));
  await client.create(backupPolicyManifest({ namespace, name }, { clusters: { names: [cluster] } }));
}
