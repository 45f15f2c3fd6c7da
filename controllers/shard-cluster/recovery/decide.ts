/**
 * What to do next to bring a fleet back, as data: look into the store, fill a volume for each shard that was there at the time, then
 * make the map; from there on it is a fleet like any other. Every Job is made once, and what has succeeded is not done again. Pure.
 */

import type { RecoveryJob } from '#controllers/recovery-job.ts';
import type { ClusterAction } from '#controllers/shard-cluster/decide.ts';
import type { Problem } from '#controllers/shard-cluster/problems.ts';
import { annotations, clusterChildren, shardChildren } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import type { RenderContext } from '#engines/engine.ts';
import type { RecoveryEngine, RecoveryReport } from '#engines/recovery.ts';
import type { ShardMap } from '#sharding/map.ts';
import { databasesOf } from './afterwards.ts';
import { mismatch, volumesInTheWay } from './checks.ts';
import { type Choice, type ChosenShard, choose, isChoice, placed } from './choose.ts';
import type { RecoveryFacts } from './facts.ts';
import { accessObjects, markedClaim, sourceSecret } from './objects.ts';
import { isMap, recoveredMap } from './recovered-map.ts';

/** Volumes that are filled at a time: the store and its network are shared. */
export const AT_ONCE = 16;
const CATALOG_SECONDS = 1800;
/** A large shard is fetched for hours. */
const RECOVER_SECONDS = 86_400;

export interface RecoveryPlan {
  readonly actions: readonly ClusterAction[];
  /** Once all has come back. */
  readonly map?: ShardMap;
  /** System identifiers of the shards' databases, by name. */
  readonly databases: ReadonlyMap<string, string>;
  readonly problem?: Problem;
  /** What is under way, for people. */
  readonly progress?: string;
}

export interface RecoveryInput {
  readonly cluster: ShardCluster;
  readonly facts: RecoveryFacts;
  readonly engine: RecoveryEngine;
  readonly context: RenderContext;
  readonly now: Date;
  /** The Shard that an ordinal is to be, before it owns anything. */
  readonly draft: (shard: { readonly ordinal: number; readonly region?: string }) => Shard;
}

const nothing = { actions: [], databases: new Map<string, string>() } as const;

export function decideRecovery(input: RecoveryInput): RecoveryPlan {
  const { cluster, facts, now } = input;
  if (facts.problem) return { ...nothing, problem: facts.problem };
  const again = retried(input);
  if (again.length > 0) return { ...nothing, actions: again, progress: 'beginning again' };
  const looking = lookInto(input);
  if (looking) return looking;
  const found = new Map(
    [...facts.catalogs].map(([index, { report }]) => [index, report?.incarnations ?? []] as const),
  );
  const choice = choose(facts.spec, found, now);
  if (!isChoice(choice)) return { ...nothing, problem: choice };
  const firstClaim = (shard: ChosenShard): string =>
    input.engine.firstClaim(input.draft(placed(shard))).metadata.name;
  const problem = mismatch(cluster, choice) ?? volumesInTheWay(cluster, facts.claims, choice, firstClaim);
  if (problem) return { ...nothing, problem };
  return bringBack(input, choice);
}

/** Jobs of an earlier try that failed; the list of what there is goes with them as long as nothing was brought back. */
function retried({ facts }: RecoveryInput): readonly ClusterAction[] {
  const old = (job: RecoveryJob<unknown>): boolean =>
    job.request !== facts.attempt && job.state !== 'Running';
  const catalogs = facts.recoveries.size === 0 ? [...facts.catalogs.values()].filter(old) : [];
  const failed = [...facts.recoveries.values()].filter(job => old(job) && !succeeded(job));
  return [...catalogs, ...failed].map(({ name, uid }) => ({ kind: 'DeleteJob', name, uid }));
}

function succeeded({ report }: RecoveryJob<{ readonly state: string }>): boolean {
  return report?.state === 'Succeeded';
}

/** Undefined once every destination has told what it holds. */
function lookInto(input: RecoveryInput): RecoveryPlan | undefined {
  const { cluster, facts, engine, context } = input;
  const { name } = cluster.metadata;
  const missing = facts.sources.filter(({ index }) => !facts.catalogs.has(index));
  if (missing.length > 0) {
    const jobs = facts.sources.map(({ index }) => clusterChildren.catalogJob(name, index));
    return {
      ...nothing,
      actions: [
        { kind: 'ApplyForRecovery', objects: accessObjects(cluster, jobs) },
        ...missing.flatMap(({ index, path, files }): ClusterAction[] => [
          { kind: 'ApplyForRecovery', objects: [sourceSecret(cluster, index, files)] },
          {
            kind: 'CreateJob',
            object: engine.catalogJob(
              input.draft({ ordinal: 0 }),
              {
                ...task(input, clusterChildren.catalogJob(name, index), index, CATALOG_SECONDS),
                path,
                cluster: facts.spec.cluster,
              },
              context,
            ),
          },
        ]),
      ],
      progress: 'looking for backups in the object store',
    };
  }
  const failed = [...facts.catalogs.values()].find(job => job.state !== 'Running' && !succeeded(job));
  if (failed) return { ...nothing, problem: failure(input, failed) };
  return [...facts.catalogs.values()].every(succeeded)
    ? undefined
    : { ...nothing, progress: 'looking for backups in the object store' };
}

function task({ cluster, facts }: RecoveryInput, job: string, source: number, deadlineSeconds: number) {
  const { name } = cluster.metadata;
  return {
    name: facts.attempt,
    job,
    deadlineSeconds,
    serviceAccount: clusterChildren.recovery(name),
    secret: clusterChildren.recoverySecret(name, source),
  };
}

function bringBack(input: RecoveryInput, choice: Choice): RecoveryPlan {
  const { cluster, facts } = input;
  const results = new Map<number, NonNullable<RecoveryReport['result']>>();
  const missing: ChosenShard[] = [];
  let running = 0;
  for (const shard of choice.shards) {
    const name = clusterChildren.shard(cluster.metadata.name, shard.ordinal);
    const job = facts.recoveries.get(name);
    if (!job) missing.push(shard);
    else if (job.report?.state === 'Succeeded' && job.report.result)
      results.set(shard.ordinal, job.report.result);
    else if (job.state === 'Running') running++;
    else return { ...nothing, problem: failure(input, job) };
  }
  const databases = databasesOf(facts.recoveries);
  if (results.size < choice.shards.length) {
    const begun = missing.slice(0, Math.max(0, AT_ONCE - running));
    return {
      actions:
        begun.length > 0
          ? [ground(input, choice, begun), ...begun.flatMap(shard => fill(input, choice, shard))]
          : [],
      databases,
      progress: `${results.size} of ${choice.shards.length} shards are back, of incarnation ${choice.incarnation}`,
    };
  }
  const map = recoveredMap(cluster, choice, results);
  return isMap(map) ? { actions: [], databases, map } : { actions: [], databases, problem: map };
}

/** What Jobs need before they begin. */
function ground(
  { cluster, facts }: RecoveryInput,
  { shards }: Choice,
  begun: readonly ChosenShard[],
): ClusterAction {
  const { name } = cluster.metadata;
  const jobs = [
    ...facts.sources.map(({ index }) => clusterChildren.catalogJob(name, index)),
    ...shards.map(({ ordinal }) => shardChildren.recoverJob(clusterChildren.shard(name, ordinal))),
  ];
  const secrets = facts.sources
    .filter(({ index }) => begun.some(({ source }) => source === index))
    .map(({ index, files }) => sourceSecret(cluster, index, files));
  return { kind: 'ApplyForRecovery', objects: [...accessObjects(cluster, jobs), ...secrets] };
}

function fill(input: RecoveryInput, { incarnation }: Choice, shard: ChosenShard): readonly ClusterAction[] {
  const { cluster, facts, engine, context } = input;
  const source = facts.sources.find(({ index }) => index === shard.source);
  if (!source) return [];
  const draft = input.draft(placed(shard));
  const claim = engine.firstClaim(draft);
  const job = shardChildren.recoverJob(draft.metadata.name);
  const { targetTime } = facts.spec;
  return [
    ...(facts.claims.has(claim.metadata.name)
      ? []
      : [{ kind: 'ApplyForRecovery', objects: [markedClaim(cluster, claim)] } as const]),
    {
      kind: 'CreateJob',
      object: engine.recoverJob(
        draft,
        {
          ...task(input, job, source.index, RECOVER_SECONDS),
          path: `${source.path}/${incarnation}`,
          stanza: shard.stanza,
          ...(targetTime === undefined ? {} : { targetTime }),
          claim: claim.metadata.name,
          fleet: cluster.metadata.uid ?? '',
        },
        context,
      ),
    },
  ];
}

function failure(
  { cluster }: RecoveryInput,
  { name, report, message }: RecoveryJob<{ readonly failure?: string }>,
): Problem {
  const why = report?.failure ?? message ?? 'it ended without a word';
  return {
    reason: 'RecoveryFailed',
    message:
      `Job ${name}: ${why}. Once that is put right: kubectl annotate shardcluster ${cluster.metadata.name} --overwrite ` +
      `${annotations.retry}=<any new value>`,
  };
}
