/**
 * What to do next to bring a fleet back, as data: look into the store, fill a volume for each shard that was there at the time, then
 * make the map; from there on it is a fleet like any other. Every Job is made once, and what has succeeded is not done again. Pure.
 */
import type { ClusterAction } from '#controllers/shard-cluster/decide.ts';
import type { Problem } from '#controllers/shard-cluster/problems.ts';
import { annotations, clusterChildren, shardChildren } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import type { RenderContext } from '#engines/engine.ts';
import type { RecoveryEngine, RecoveryReport } from '#engines/recovery.ts';
import type { ShardMap } from '#sharding/map.ts';
import { type Choice, type ChosenShard, choose, isChoice } from './choose.ts';
import type { RecoveryFacts, RecoveryJob } from './facts.ts';
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
  const problem = mismatch(cluster, choice) ?? volumesInTheWay(input, choice);
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

/** What a fleet that is there again needs no more. */
export function decideAfterwards(
  cluster: ShardCluster,
  jobs: readonly RecoveryJob<unknown>[],
): readonly ClusterAction[] {
  if (jobs.length === 0) return [];
  const { name } = cluster.metadata;
  const secrets = jobs.flatMap(job => {
    const index = sourceOf(name, job.name);
    return index === undefined ? [] : [index];
  });
  return [
    ...secrets.map(
      (index): ClusterAction => ({
        kind: 'DeleteSecret',
        name: clusterChildren.recoverySecret(name, index),
      }),
    ),
    ...jobs.map((job): ClusterAction => ({ kind: 'DeleteJob', name: job.name, uid: job.uid })),
  ];
}

function sourceOf(cluster: string, job: string): number | undefined {
  const prefix = clusterChildren.catalogJob(cluster, 0).slice(0, -1);
  return job.startsWith(prefix) ? Number(job.slice(prefix.length)) : undefined;
}

/** System identifiers by the name of the shard. */
export function databasesOf(
  recoveries: ReadonlyMap<string, RecoveryJob<RecoveryReport>>,
): ReadonlyMap<string, string> {
  return new Map(
    [...recoveries].flatMap(([name, { report }]) =>
      report?.result ? [[name, report.result.systemIdentifier] as const] : [],
    ),
  );
}

/** What every backup says of its fleet, and the spec must say too. */
function mismatch(cluster: ShardCluster, { shards }: Choice): Problem | undefined {
  const { sharding, engine } = cluster.spec;
  for (const { stanza, about, version } of shards) {
    const fields: readonly (readonly [string, string | number, string | number])[] = [
      ['engine.version', engine.version, version],
      ...(about
        ? ([
            ['sharding.algorithm', sharding.algorithm, about.algorithm],
            ['sharding.keyType', sharding.keyType, about.keyType],
            ['sharding.slots', sharding.slots, about.slots],
          ] as const)
        : []),
    ];
    const wrong = fields.find(([, wanted, stored]) => String(wanted) !== String(stored));
    if (wrong)
      return {
        reason: 'RecoveryFailed',
        message: `spec.${wrong[0]} is ${wrong[1]}, but the backups of ${stanza} are of ${wrong[2]}: make the ShardCluster anew with that`,
      };
  }
  return undefined;
}

/** A member that finds older data would be preferred to what came back. */
function volumesInTheWay(
  { cluster, facts, draft, engine }: RecoveryInput,
  { shards }: Choice,
): Problem | undefined {
  const wanted = shards.map(shard => engine.firstClaim(draft(placed(shard))).metadata.name);
  const names = new Set(
    shards.map(({ ordinal }) => `data-${clusterChildren.shard(cluster.metadata.name, ordinal)}-`),
  );
  const others = [...facts.claims].filter(
    ([name, { recoveredFor }]) =>
      names.has(name.replace(/[0-9]+$/, '')) &&
      !(wanted.includes(name) && recoveredFor === cluster.metadata.uid),
  );
  const [other] = others;
  if (!other) return undefined;
  return {
    reason: 'VolumesInTheWay',
    message:
      `${others.length} volumes of an earlier fleet of this name are still there, PersistentVolumeClaim ${other[0]} among them: ` +
      'delete them if their data may go, or make the ShardCluster under another name',
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

function placed({ ordinal, about }: ChosenShard): { readonly ordinal: number; readonly region?: string } {
  return { ordinal, ...(about?.region === undefined ? {} : { region: about.region }) };
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
