/** Gathers all that a decision about a policy is made from: from caches, and from the Secrets that it names. */
import { byCluster, byPolicy, byShard, byTask, indexKey } from '#controllers/caches.ts';
import { durationMs } from '#controllers/duration.ts';
import { shardOf } from '#controllers/shard/facts.ts';
import type { BackupPolicy } from '#crds/api/backup-policy.ts';
import { backupPolicyStatus } from '#crds/api/backup-policy.ts';
import { annotations, isPaused, shardChildren } from '#crds/api/names.ts';
import { InvalidObjectError } from '#crds/api/parse.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { BackupEngine } from '#engines/backup.ts';
import { ForbiddenError } from '#kernel/errors.ts';
import { type KubeObject, keyOf } from '#kernel/object.ts';
import type { Request } from '#kernel/source.ts';
import { type Achieved, achievedNow } from './achieved.ts';
import { archiveProblems, migratingShards } from './archiving-shards.ts';
import { bindingOf, policyOf } from './bindings.ts';
import type { BackupDeps } from './deps.ts';
import { backupPolicyOf, type ColdPlace, type PolicyFacts, type Problem, type ShardView } from './facts.ts';
import { archiveJobOf, backupJobOf, drillJobOf, reportOf } from './jobs.ts';
import { problemsOf } from './problems.ts';
import {
  destinationOf,
  type OpenDestination,
  openDestinations,
  placeOf,
  repositoryPath,
} from './repositories.ts';
import { type ArchiveStatus, knownArchive, newestReport } from './shard-archive.ts';

export interface Gathered extends PolicyFacts {
  readonly destinations: readonly OpenDestination[];
}

/** Throws KubeError, and InvalidObjectError when the policy itself does not parse. */
export async function gatherPolicy(
  deps: BackupDeps,
  raw: KubeObject,
  signal: AbortSignal,
): Promise<Gathered> {
  const { caches, newest, clock } = deps;
  const latest = newest.policies.of(raw);
  const policy = backupPolicyOf(latest);
  const namespace = policy.metadata.namespace ?? '';
  const clusters = inNamespace(caches.shardClusters.values(), namespace);
  const binding = bindingOf(policy, policiesOf(deps, namespace), clusters);
  const opened = await open(deps, policy, namespace, signal);
  const under = binding.clusters.flatMap(name => {
    const cluster = caches.shardClusters.get({ namespace, name });
    return cluster ? [{ cluster, shards: shardsOf(deps, namespace, name) }] : [];
  });
  const engines = under.flatMap(({ shards: [first] }) => (first ? [deps.backups(first.shard)] : []));
  const { destinations } = opened;
  const homeless = under
    .flatMap(({ shards }) => shards.map(({ shard }) => shard))
    .filter(shard => destinationOf(shard, destinations) === undefined);
  const migrations = policy.spec.archive
    ? migratingShards(inNamespace(deps.caches.shardMigrations.values(), namespace))
    : new Map<string, string>();
  const shards = under.flatMap(({ cluster, shards: found }) =>
    found.map(each => viewOf(deps, policy, cluster, each, { destinations, migrations })),
  );
  return {
    raw: latest,
    policy,
    status: policy.status ?? backupPolicyStatus.parse({}),
    binding,
    problems: [
      ...problemsOf({ spec: policy.spec, binding, engines, now: clock.now() }),
      ...opened.problems,
      ...noDestination(homeless),
      ...(policy.spec.archive ? archiveProblems(shards) : []),
    ],
    shards,
    released: releasedBy(deps, { namespace, name: policy.metadata.name }),
    destinations,
  };
}

/** Shards that say they are under a policy, and whose fleet is under none. */
export function releasedBy(deps: BackupDeps, { namespace, name }: Request): readonly ShardView[] {
  const { caches, newest } = deps;
  const policies = policiesOf(deps, namespace);
  return caches.shards.byIndex(byPolicy, indexKey(namespace, name)).flatMap(raw => {
    const shard = shardOf(newest.shards.of(raw));
    if (shard.metadata.deletionTimestamp !== undefined || !shard.status?.backup) return [];
    const cluster = caches.shardClusters.get({ namespace, name: shard.spec.cluster.name });
    if (!cluster || policyOf(cluster, policies)) return [];
    return [bareView(deps, newest.shards.of(raw), shard)];
  });
}

function policiesOf({ caches }: BackupDeps, namespace: string): readonly BackupPolicy[] {
  return inNamespace(caches.backupPolicies.values(), namespace).flatMap(raw => {
    try {
      return [backupPolicyOf(raw)];
    } catch (error) {
      // It says so itself.
      if (error instanceof InvalidObjectError) return [];
      throw error;
    }
  });
}

function inNamespace(objects: Iterable<KubeObject>, namespace: string): readonly KubeObject[] {
  return [...objects].filter(({ metadata }) => metadata.namespace === namespace);
}

interface FoundShard {
  readonly raw: KubeObject;
  readonly shard: Shard;
}

function shardsOf({ caches, newest }: BackupDeps, namespace: string, cluster: string): readonly FoundShard[] {
  return caches.shards.byIndex(byCluster, indexKey(namespace, cluster)).flatMap(cached => {
    const raw = newest.shards.of(cached);
    return raw.metadata.deletionTimestamp === undefined ? [{ raw, shard: shardOf(raw) }] : [];
  });
}

async function open(
  { secrets, enableCommand }: BackupDeps,
  policy: BackupPolicy,
  namespace: string,
  signal: AbortSignal,
): Promise<{ readonly destinations: readonly OpenDestination[]; readonly problems: readonly Problem[] }> {
  const { destinations } = policy.spec;
  try {
    return await openDestinations(secrets, namespace, destinations, signal);
  } catch (error) {
    if (!(error instanceof ForbiddenError)) throw error;
    const message = `the operator may not read Secrets in namespace ${namespace}: ${enableCommand(namespace)}`;
    return {
      destinations: destinations.map(destination => ({ destination, secrets: undefined })),
      problems: [{ reason: 'NamespaceNotEnabled', message, plan: true }],
    };
  }
}

function noDestination(shards: readonly Shard[]): readonly Problem[] {
  const regions = [...new Set(shards.map(({ spec }) => spec.region ?? '(none)'))];
  if (regions.length === 0) return [];
  return [
    {
      reason: 'NoDestination',
      message:
        `spec.destinations has none for shards of region ${regions.slice(0, 5).join(', ')}: add one for it, ` +
        'or one without a region for all others',
      plan: false,
    },
  ];
}

const NO_REPORTS: Pick<BackupEngine, 'parseReport'> = { parseReport: () => undefined };

function bareView(deps: BackupDeps, raw: KubeObject, shard: Shard): ShardView {
  const engine = deps.backups(shard) ?? NO_REPORTS;
  const namespace = shard.metadata.namespace ?? '';
  const job = (name: string) => deps.caches.jobs.get({ namespace, name });
  const { name } = shard.metadata;
  return {
    raw,
    shard,
    backup: shard.status?.backup,
    shownRpoSeconds: shard.status?.achievedRpoSeconds,
    place: undefined,
    archive: undefined,
    achieved: {},
    backupJob: backupJobOf(job(shardChildren.backupJob(name)), engine),
    drillJob: drillJobOf(job(shardChildren.drillJob(name)), engine),
    archiveJob: archiveJobOf(
      job(shardChildren.archiveJob(name)),
      deps.caches.pods.byIndex(byTask, indexKey(namespace, name)),
    ),
    coldPlace: undefined,
    migration: undefined,
    paused: true,
  };
}

interface Surroundings {
  readonly destinations: readonly OpenDestination[];
  /** By the shard that they have a part in. */
  readonly migrations: ReadonlyMap<string, string>;
}

function viewOf(
  deps: BackupDeps,
  { spec }: BackupPolicy,
  cluster: KubeObject,
  each: FoundShard,
  { destinations, migrations }: Surroundings,
): ShardView {
  const { raw, shard } = each;
  const key = { namespace: shard.metadata.namespace ?? '', name: shard.metadata.name };
  const bare = bareView(deps, raw, shard);
  const found = destinationOf(shard, destinations);
  const place = found && placeOf(shard, cluster, found.destination);
  const known = bare.backup && bare.backup.place === place ? bare.backup.archive : undefined;
  const engine = deps.backups(shard);
  const archive = engine ? archiveOf(deps, engine, key, known) : known;
  return {
    ...bare,
    place,
    archive,
    coldPlace: engine && found && coldPlaceOf(cluster, found),
    migration: migrations.get(key.name),
    achieved: place === undefined ? {} : measure(deps, bare.raw, archive, place, spec),
    paused:
      isPaused(shard) ||
      cluster.metadata.annotations?.[annotations.paused] === 'true' ||
      cluster.metadata.deletionTimestamp !== undefined,
  };
}

/** Files of the archive are not encrypted by us. */
function coldPlaceOf(cluster: KubeObject, { destination, secrets }: OpenDestination): ColdPlace | undefined {
  if (!secrets || destination.encryption) return undefined;
  return { destination, path: repositoryPath(destination.s3.prefix, cluster) };
}

function archiveOf(
  { caches }: BackupDeps,
  engine: BackupEngine,
  { namespace, name }: Request,
  known: ArchiveStatus | undefined,
): ArchiveStatus | undefined {
  const pods = caches.pods.byIndex(byShard, indexKey(namespace, name));
  const reports = pods.flatMap(pod => {
    const report = reportOf(pod, engine);
    return report?.kind === 'Archive' ? [report] : [];
  });
  return knownArchive(known, newestReport(reports));
}

function measure(
  { memory, clock }: BackupDeps,
  raw: KubeObject,
  archive: ArchiveStatus | undefined,
  place: string,
  { objectives }: BackupPolicy['spec'],
): Achieved {
  const objective = durationMs(objectives.rpo) / 1000;
  const key = keyOf(raw);
  const [now, monotonicMs] = [clock.now(), clock.monotonicMs()];
  const told = archive && {
    report: archive,
    ageSeconds: memory.reports.ageSeconds(key, archive, now, monotonicMs),
  };
  const achieved = achievedNow(told, place, objective);
  const { nowSeconds } = achieved;
  if (nowSeconds === undefined) return achieved;
  return { ...achieved, recentSeconds: memory.reports.recent(key, nowSeconds, objective, monotonicMs) };
}
