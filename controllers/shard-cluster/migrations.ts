/**
 * What the fleet's migrations mean for its shards: which of them somebody counts on, so that none is taken away. Pure. Read
 * loosely: a migration that is not valid any more still counts.
 */
import { fields, isUnderWay, shardsInUse } from '#controllers/shard-migration/in-use.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { Request } from '#kernel/source.ts';

export interface MigrationUse {
  /** Names of shards that a migration works on, or is to. */
  readonly shards: ReadonlySet<string>;
  /** One of those will empty a shard: a merge, or a move. */
  readonly emptying: boolean;
  /**
   * Storage classes of shards that moves have made, by the shard's name; undefined for the cluster's default class. No name is given
   * out twice, so that of a move which has ended holds for ever.
   */
  readonly storageClasses: ReadonlyMap<string, string | undefined>;
  /** metadata.uid of every migration of the fleet, ended or not. */
  readonly uids: ReadonlySet<string>;
}

/**
 * `fleet`: names the ShardCluster; migrations of others are passed over. `uid`: its metadata.uid, as a fleet of the same name
 * before it had shards of the same names.
 */
export function migrationUse(
  migrations: Iterable<KubeObject>,
  fleet: Request,
  uid: string | undefined,
): MigrationUse {
  const shards = new Set<string>();
  const uids = new Set<string>();
  const storageClasses = new Map<string, string | undefined>();
  let emptying = false;
  for (const migration of migrations) {
    const [spec, status] = [fields(migration['spec']), fields(migration['status'])];
    if (!isOf(migration, fleet)) continue;
    if (migration.metadata.uid !== undefined) uids.add(migration.metadata.uid);
    const { name: made, storageClassName } = fields(status['newShard']);
    if (typeof made === 'string' && status['clusterUid'] === uid) {
      storageClasses.set(made, typeof storageClassName === 'string' ? storageClassName : undefined);
    }
    if (!isUnderWay(migration)) continue;
    emptying ||= spec['merge'] !== undefined || spec['move'] !== undefined;
    for (const name of shardsInUse(migration)) shards.add(name);
  }
  return { shards, emptying, storageClasses, uids };
}

/** Name of the ShardCluster that a migration is of. */
export function clusterNamed(migration: KubeObject): string | undefined {
  const { name } = fields(fields(migration['spec'])['cluster']);
  return typeof name === 'string' ? name : undefined;
}

/** How far a migration is, and between whom: what else changes in it does not concern its fleet. */
export function migrationStage(migration: KubeObject): string {
  return JSON.stringify([fields(migration['status'])['phase'], shardsInUse(migration)]);
}

/** Whether a migration of the fleet is at a stage at which it may change who takes writes. */
export function changesWriters(migrations: Iterable<KubeObject>, fleet: Request): boolean {
  for (const migration of migrations) {
    const { phase } = fields(migration['status']);
    if ((phase === 'SwitchWrites' || phase === 'VerifyAndCleanup') && isOf(migration, fleet)) return true;
  }
  return false;
}

function isOf(migration: KubeObject, fleet: Request): boolean {
  return migration.metadata.namespace === fleet.namespace && clusterNamed(migration) === fleet.name;
}
