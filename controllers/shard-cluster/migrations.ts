/**
 * What the fleet's migrations mean for its shards: which of them somebody counts on, so that none is taken away. Pure. Read
 * loosely: a migration that is not valid any more still counts.
 */
import type { KubeObject } from '#kernel/object.ts';
import type { Request } from '#kernel/source.ts';

export interface MigrationUse {
  /** Names of shards that a migration which has not ended works on, or is to. */
  readonly shards: ReadonlySet<string>;
  /** One that has not ended will empty a shard: a merge, or a move. */
  readonly emptying: boolean;
  /**
   * Storage classes of shards that moves have made, by the shard's name; undefined for the cluster's default class. No name is given
   * out twice, so that of a move which has ended holds for ever.
   */
  readonly storageClasses: ReadonlyMap<string, string | undefined>;
  /** metadata.uid of every migration of the fleet, ended or not. */
  readonly uids: ReadonlySet<string>;
}

const ENDED: ReadonlySet<unknown> = new Set(['Completed', 'Aborted', 'RolledBack', 'Failed']);

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
    if (migration.metadata.namespace !== fleet.namespace || clusterNamed(migration) !== fleet.name) continue;
    if (migration.metadata.uid !== undefined) uids.add(migration.metadata.uid);
    const { name: made, storageClassName } = fields(status['newShard']);
    if (typeof made === 'string' && status['clusterUid'] === uid) {
      storageClasses.set(made, typeof storageClassName === 'string' ? storageClassName : undefined);
    }
    if (ENDED.has(status['phase']) || spec['dryRun'] === true) continue;
    const merge = fields(spec['merge']);
    emptying ||= spec['merge'] !== undefined || spec['move'] !== undefined;
    const [split, move, slots] = [fields(spec['split']), fields(spec['move']), fields(spec['slots'])];
    const named: readonly unknown[] = [
      split['shard'],
      move['shard'],
      slots['from'],
      slots['to'],
      ...list(merge['shards']),
      ...list(status['transfers']).flatMap(each => [fields(each)['source'], fields(each)['target']]),
    ];
    for (const name of named) if (typeof name === 'string') shards.add(name);
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
  const { phase, transfers } = fields(migration['status']);
  return JSON.stringify([
    phase,
    list(transfers).map(each => [fields(each)['source'], fields(each)['target']]),
  ]);
}

function fields(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
