/** What a fleet with spec.bootstrap.recovery is decided from: the policy with its Secrets, the Jobs and what they tell, volumes. */

import { backupPolicyOf } from '#controllers/backup-policy/facts.ts';
import { openDestinations } from '#controllers/backup-policy/repositories.ts';
import { byCluster, indexKey } from '#controllers/caches.ts';
import { catalogJobOf, type RecoveryJob, recoverJobOf } from '#controllers/recovery-job.ts';
import type { SecretReader } from '#controllers/secrets/secret-reader.ts';
import type { ClusterDeps } from '#controllers/shard-cluster/deps.ts';
import { nothingOf } from '#controllers/shard-cluster/partitions.ts';
import type { Problem } from '#controllers/shard-cluster/problems.ts';
import { projectShard, shardObject } from '#controllers/shard-cluster/project.ts';
import type { MapFacts } from '#controllers/shard-map/config-maps.ts';
import { annotations, clusterChildren, labels } from '#crds/api/names.ts';
import { InvalidObjectError } from '#crds/api/parse.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import type { CatalogReport, RecoveryEngine, RecoveryReport } from '#engines/recovery.ts';
import { digest } from '#kernel/canonical.ts';
import { databasesOf, decideAfterwards } from './afterwards.ts';
import { decideRecovery, type RecoveryPlan } from './decide.ts';
import type { RecoverySource, RecoverySpec } from './facts.ts';
import { recoveredFor } from './objects.ts';

export interface RecoverySubject {
  readonly cluster: ShardCluster;
  readonly map: MapFacts;
  readonly secretsVersion: string;
}

/** Undefined for a fleet that begins empty. Throws KubeError. */
export async function gatherRecovery(
  deps: ClusterDeps,
  subject: RecoverySubject,
  signal: AbortSignal,
): Promise<RecoveryPlan | undefined> {
  const { cluster, map } = subject;
  const spec = cluster.spec.bootstrap?.recovery;
  if (!spec) return undefined;
  const engine = deps.recovery(cluster);
  if (!engine) {
    const message = `fleets of ${cluster.spec.engine.type} cannot be recovered: make the ShardCluster without spec.bootstrap.recovery`;
    return { actions: [], databases: new Map(), problem: { reason: 'NotSupported', message } };
  }
  const jobs = jobsOf(deps, cluster, engine);
  if (map.kind !== 'Absent') {
    return { actions: decideAfterwards(cluster, jobs.all), databases: databasesOf(jobs.recoveries) };
  }
  const attempt = digest([cluster.metadata.uid, cluster.metadata.annotations?.[annotations.retry]]).slice(
    0,
    12,
  );
  // Whoever asks again has just put right what a Secret held: a try begins with what is there now.
  const begins = !jobs.all.some(({ request }) => request === attempt);
  const reader = begins ? readingAnew(deps.secrets) : deps.secrets;
  const { sources, problem } = await sourcesOf(deps, reader, cluster, spec, engine, signal);
  return decideRecovery({
    cluster,
    facts: {
      spec,
      attempt,
      problem,
      sources,
      catalogs: jobs.catalogs,
      recoveries: jobs.recoveries,
      claims: claimsOf(deps, cluster),
    },
    engine,
    context: deps.context,
    now: deps.clock.now(),
    draft: shard => draftOf(deps, subject, shard),
  });
}

interface FoundJobs {
  readonly all: readonly RecoveryJob<unknown>[];
  readonly catalogs: ReadonlyMap<number, RecoveryJob<CatalogReport>>;
  readonly recoveries: ReadonlyMap<string, RecoveryJob<RecoveryReport>>;
}

function jobsOf({ caches }: ClusterDeps, { metadata }: ShardCluster, engine: RecoveryEngine): FoundJobs {
  const catalogs = new Map<number, RecoveryJob<CatalogReport>>();
  const recoveries = new Map<string, RecoveryJob<RecoveryReport>>();
  const prefix = clusterChildren.catalogJob(metadata.name, 0).slice(0, -1);
  const jobs = caches.jobs
    .byIndex(byCluster, indexKey(metadata.namespace, metadata.name))
    .filter(job => job.metadata.ownerReferences?.some(owner => owner.uid === metadata.uid));
  for (const job of jobs) {
    const task = job.metadata.labels?.[labels.task];
    if (task === 'catalog') {
      catalogs.set(Number(job.metadata.name.slice(prefix.length)), catalogJobOf(engine, job));
    }
    if (task === 'recover') {
      recoveries.set(job.metadata.labels?.[labels.shard] ?? '', recoverJobOf(engine, job));
    }
  }
  return { all: [...catalogs.values(), ...recoveries.values()], catalogs, recoveries };
}

function claimsOf({ caches }: ClusterDeps, { metadata }: ShardCluster) {
  const claims = caches.claims.byIndex(byCluster, indexKey(metadata.namespace, metadata.name));
  return new Map(
    claims.map(claim => [claim.metadata.name, { recoveredFor: claim.metadata.annotations?.[recoveredFor] }]),
  );
}

function readingAnew(secrets: SecretReader): Pick<SecretReader, 'read'> {
  return {
    read: (key, signal) => {
      secrets.forget(key);
      return secrets.read(key, signal);
    },
  };
}

async function sourcesOf(
  deps: ClusterDeps,
  reader: Pick<SecretReader, 'read'>,
  cluster: ShardCluster,
  spec: RecoverySpec,
  engine: RecoveryEngine,
  signal: AbortSignal,
): Promise<{ readonly sources: readonly RecoverySource[]; readonly problem: Problem | undefined }> {
  const namespace = cluster.metadata.namespace ?? '';
  const raw = deps.caches.backupPolicies.get({ namespace, name: spec.policy });
  if (!raw)
    return refuse(
      'NoSuchPolicy',
      `there is no BackupPolicy ${spec.policy} in namespace ${namespace}: make one with the destinations that hold the backups`,
    );
  try {
    const policy = backupPolicyOf(raw);
    const opened = await openDestinations(reader, namespace, policy.spec.destinations, signal);
    const [wrong] = opened.problems;
    if (wrong) return refuse(wrong.reason, `BackupPolicy ${spec.policy}: ${wrong.message}`);
    const sources = opened.destinations.flatMap(({ destination, secrets }, index): RecoverySource[] => {
      if (!secrets) return [];
      const { endpoint, bucket, region, prefix } = destination.s3;
      const { passphrase, ...keys } = secrets;
      const path = [...prefix.split('/').filter(part => part !== ''), namespace, spec.cluster].join('/');
      return [
        {
          index,
          ...(destination.region === undefined ? {} : { region: destination.region }),
          path,
          files: engine.sourceFiles({
            path,
            s3: { ...(endpoint === undefined ? {} : { endpoint }), bucket, region, ...keys },
            ...(passphrase === undefined ? {} : { passphrase }),
          }),
        },
      ];
    });
    return { sources, problem: undefined };
  } catch (error) {
    if (!(error instanceof InvalidObjectError)) throw error;
    return refuse('InvalidPolicy', `BackupPolicy ${spec.policy}: ${error.message}`);
  }
}

function refuse(
  reason: string,
  message: string,
): { readonly sources: readonly []; readonly problem: Problem } {
  return { sources: [], problem: { reason, message } };
}

/** As the map will make it, but for what it owns. */
function draftOf(
  { defaultImage }: ClusterDeps,
  { cluster, secretsVersion }: RecoverySubject,
  { ordinal, region }: { readonly ordinal: number; readonly region?: string },
): Shard {
  const { sharding } = cluster.spec;
  const entry = {
    name: clusterChildren.shard(cluster.metadata.name, ordinal),
    ordinal,
    ...(region === undefined ? {} : { region }),
    generation: 1,
    readerGeneration: 1,
    state: 'active',
  } as const;
  const partition = nothingOf(sharding.algorithm, sharding.slots);
  const spec = projectShard({ cluster, partition, defaultImage, secretsVersion }, entry);
  return shardObject(cluster, entry, spec);
}
