/** Carries out what was decided for a fleet: the map first, then its shards. */
import { ShardMigrations, Shards } from '#controllers/caches.ts';
import { createOnce } from '#controllers/create-once.ts';
import { severalAtOnce } from '#controllers/several-at-once.ts';
import { markerOf } from '#controllers/shard-map/config-maps.ts';
import { MapBusyError, MapExistsError } from '#controllers/shard-map/errors.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import { assertNever } from '#kernel/assert-never.ts';
import type { ReconcileContext } from '#kernel/controller.ts';
import { ConflictError, orUndefined } from '#kernel/errors.ts';
import type { KubeObject } from '#kernel/object.ts';
import { Jobs, Secrets } from '#kernel/resources.ts';
import type { Request } from '#kernel/source.ts';
import type { ClusterAction, ClusterPlan } from './decide.ts';
import type { ClusterDeps } from './deps.ts';
import { nextMap } from './map-from-spec.ts';
import { type MigrationUse, migrationUse } from './migrations.ts';
import { ownerOf } from './project.ts';

/** Applies of Shards under way: enough to keep a new fleet's shards coming, few enough to leave connections to them. */
const SHARDS_AT_ONCE = 8;

export type CarryOutDeps = Pick<ClusterDeps, 'client' | 'applier' | 'maps'>;

export interface FleetSubject {
  readonly cluster: ShardCluster;
  readonly request: Request;
}

/** Somebody else wrote first: what they wrote is on its way to us. */
export function isCacheBehind(error: unknown): boolean {
  return (
    error instanceof MapExistsError ||
    error instanceof MapBusyError ||
    error instanceof ConflictError ||
    error instanceof ShardInUseError ||
    error instanceof MoveUnseenError
  );
}

/** The map first, then the shards, which know nothing of each other. */
export async function carryOut(
  deps: CarryOutDeps,
  subject: FleetSubject,
  plan: ClusterPlan,
  context: ReconcileContext,
): Promise<void> {
  const ofShards = plan.actions.filter(({ kind }) => kind === 'ApplyShard' || kind === 'DeleteShard');
  const ofMap = plan.actions.filter(action => !ofShards.includes(action));
  for (const action of ofMap) await carryOutOne(deps, subject, action, context);
  await assertMovesSeen(deps, subject, ofShards, context.signal);
  await severalAtOnce(ofShards, SHARDS_AT_ONCE, action => carryOutOne(deps, subject, action, context));
}

async function carryOutOne(
  deps: CarryOutDeps,
  { cluster, request }: FleetSubject,
  action: ClusterAction,
  { signal, log }: ReconcileContext,
): Promise<void> {
  switch (action.kind) {
    case 'CreateMap':
      log.info({}, 'making the shard map');
      return deps.maps.create(request, action.map, ownerOf(cluster), signal);
    case 'PublishMap': {
      const { retire } = action;
      if (retire.length > 0) await assertUnused(deps, { cluster, request }, retire, signal);
      log.info({ retire }, 'changing the shard map');
      const by = cluster.metadata.uid ?? '';
      await deps.maps.publish(request, { by, signal, change: map => nextMap(map, cluster, retire) });
      return undefined;
    }
    case 'ReleaseMap':
      if ((await liveUse(deps, { cluster, request }, signal)).uids.has(markerOf(action.by))) return undefined;
      log.warn({ by: action.by }, 'releasing the shard map: the migration that was changing it is gone');
      return deps.maps.unmark(request, action.by, signal);
    case 'ApplyShard':
      log.info({ object: action.object.metadata.name }, 'applying a Shard');
      await deps.applier.apply(asKubeObject(action.object), { signal });
      return undefined;
    case 'DeleteShard': {
      const { namespace, name, uid } = action.object.metadata;
      log.info({ object: name }, 'deleting a Shard that has left the map');
      const key = { ...(namespace ? { namespace } : {}), name };
      await orUndefined(
        deps.client.delete(Shards, key, { signal, ...(uid ? { preconditions: { uid } } : {}) }),
      );
      return undefined;
    }
    case 'ApplyForRecovery':
      for (const object of action.objects) await deps.applier.apply(object, { signal });
      return undefined;
    case 'CreateJob':
      log.info({ object: action.object.metadata.name }, 'creating a Job of the recovery');
      return createOnce(
        deps.client,
        { ...action.object, metadata: { ...action.object.metadata, ownerReferences: [ownerOf(cluster)] } },
        signal,
      );
    case 'DeleteJob': {
      const { name, uid } = action;
      const options = {
        signal,
        propagationPolicy: 'Background',
        ...(uid ? { preconditions: { uid } } : {}),
      } as const;
      await orUndefined(deps.client.delete(Jobs, { namespace: request.namespace, name }, options));
      return undefined;
    }
    case 'DeleteSecret':
      await orUndefined(
        deps.client.delete(Secrets, { namespace: request.namespace, name: action.name }, { signal }),
      );
      return undefined;
    default:
      return assertNever(action);
  }
}

/** A migration that the cache does not show yet counts on a shard. It holds up nothing: the next pass leaves the shard alone. */
class ShardInUseError extends Error {
  override readonly name = 'ShardInUseError';
  readonly code = 'ShardInUse';
  readonly remedy = 'None is needed: the next pass sees the migration.';
}

/** A migration says which shards it counts on before it touches them, and a shard that has left the map is lost to it. */
async function assertUnused(
  deps: CarryOutDeps,
  subject: FleetSubject,
  shards: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const inUse = (await liveUse(deps, subject, signal)).shards;
  const used = shards.find(name => inUse.has(name));
  if (used !== undefined) throw new ShardInUseError(`a ShardMigration counts on ${used}`);
}

/** The move that made a shard is in the map before the cache shows it. It holds up nothing: the next pass sees it. */
class MoveUnseenError extends Error {
  override readonly name = 'MoveUnseenError';
  readonly code = 'MoveUnseen';
  readonly remedy = 'None is needed: the next pass sees the migration.';
}

/** A shard that is made on another storage class than its move says could not be corrected any more. */
async function assertMovesSeen(
  deps: CarryOutDeps,
  subject: FleetSubject,
  actions: readonly ClusterAction[],
  signal: AbortSignal,
): Promise<void> {
  const made = actions.flatMap(action =>
    action.kind === 'ApplyShard' && action.isNew ? [action.object] : [],
  );
  if (made.length === 0) return;
  const { storageClasses } = await liveUse(deps, subject, signal);
  const unseen = made.find(
    ({ metadata: { name }, spec }) =>
      storageClasses.has(name) && storageClasses.get(name) !== spec.storage.storageClassName,
  );
  if (unseen) throw new MoveUnseenError(`a ShardMigration has ${unseen.metadata.name} made elsewhere`);
}

/** As the API server has it: the cache of migrations may be behind that of maps. */
async function liveUse(
  { client }: CarryOutDeps,
  { cluster, request }: FleetSubject,
  signal: AbortSignal,
): Promise<MigrationUse> {
  const { namespace } = request;
  const { items } = await client.list<KubeObject>(ShardMigrations, { namespace }, { signal });
  return migrationUse(items, request, cluster.metadata.uid);
}

function asKubeObject(shard: Shard): KubeObject {
  const { apiVersion, kind, metadata, spec } = shard;
  return { apiVersion, kind, metadata, spec };
}
