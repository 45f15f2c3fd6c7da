/**
 * A fleet's status: counts and worst cases over its shards in one pass, never a list that grows with them. Pure.
 * Ready speaks of service: it stays True while a wrong change is Stalled and everything that ran still runs.
 */

import { findCondition, type WantedCondition } from '#controllers/conditions.ts';
import { reconcilingWhilePaused } from '#controllers/paused.ts';
import { labels } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { ShardCluster, ShardClusterStatus } from '#crds/api/shard-cluster.ts';
import type { ShardMap } from '#sharding/map.ts';
import type { Problem } from './problems.ts';
import { isSettled } from './rollout-budget.ts';

export interface ClusterStatusInput {
  readonly cluster: ShardCluster;
  readonly shards: readonly Shard[];
  readonly map: ShardMap | undefined;
  readonly mapPages: number;
  readonly problem: Problem | undefined;
  readonly waiting: number;
  readonly paused: boolean;
  readonly rotating: boolean;
  readonly schemaHash: string | undefined;
  /** What comes before there are shards, in words. */
  readonly progress?: string | undefined;
}

export interface ClusterStatus {
  readonly fields: Omit<ShardClusterStatus, 'conditions'>;
  readonly conditions: readonly WantedCondition[];
}

export function clusterStatus(input: ClusterStatusInput): ClusterStatus {
  const { cluster, map, problem } = input;
  // A shard that has left the map is on its way out: it is no part of what serves.
  const known = map && new Set(map.shards.map(({ name }) => name));
  const shards = input.shards.filter(shard => known === undefined || known.has(shard.metadata.name));
  const sum = summarize(shards);
  const wanted = map?.shards.length ?? cluster.spec.shards;
  const allReady = map !== undefined && sum.ready === wanted && shards.length === wanted;
  const unsettled = wanted - sum.settled + input.waiting;
  const conditions: (WantedCondition | undefined)[] = [
    ready(sum, wanted, allReady),
    reconciling(input, unsettled, sum),
    problem
      ? { type: 'Stalled', status: 'True', ...problem }
      : { type: 'Stalled', status: 'False', reason: 'Progressing', message: 'nothing needs a person' },
    schemaApplied(input, sum, wanted),
    referencesCurrent(sum, cluster),
  ];
  return {
    fields: {
      observedGeneration: cluster.metadata.generation ?? 0,
      phase: phaseOf(input, sum, allReady, unsettled),
      shards: shards.length,
      readyShards: sum.ready,
      selector: `${labels.cluster}=${cluster.metadata.name}`,
      ...(map ? { map: { epoch: map.epoch, pages: input.mapPages }, states: statesOf(map) } : {}),
      worst: sum.worst,
      sizeBytes: sum.sizeBytes,
      ...(input.schemaHash === undefined ? {} : { schemaHash: input.schemaHash }),
      ...(sum.referenceVersion === undefined ? {} : { referenceVersion: sum.referenceVersion }),
      ...(sum.certificateExpiry === undefined ? {} : { certificateExpiry: sum.certificateExpiry }),
    },
    conditions: conditions.filter(condition => condition !== undefined),
  };
}

interface Summary {
  readonly ready: number;
  readonly settled: number;
  readonly schemaApplied: number;
  /** The first shard whose schema failed. */
  readonly schemaFailed: { readonly shard: string; readonly message: string } | undefined;
  readonly firstNotReady: { readonly shard: string; readonly message: string } | undefined;
  /** The first shard that goes on with its spec only when a person helps it, or lets it. */
  readonly held: { readonly shard: string; readonly message: string } | undefined;
  /** Every shard's controller has taken its hands off. */
  readonly paused: boolean;
  readonly worst: NonNullable<ShardClusterStatus['worst']>;
  readonly sizeBytes: number;
  readonly referenceVersion: string | undefined;
  readonly referencesBehind: string | undefined;
  readonly certificateExpiry: string | undefined;
}

function summarize(shards: readonly Shard[]): Summary {
  let [readyCount, settled, schemaDone, sizeBytes] = [0, 0, 0, 0];
  let schemaFailed: Summary['schemaFailed'];
  let firstNotReady: Summary['firstNotReady'];
  let held: Summary['held'];
  let worst: Summary['worst'] = {};
  let oldest: { version: bigint; shard: string } | undefined;
  let newest: bigint | undefined;
  let certificateExpiry: string | undefined;
  for (const shard of shards) {
    const { name } = shard.metadata;
    const { status } = shard;
    const condition = findCondition(shard, 'Ready');
    if (condition?.status === 'True') readyCount++;
    else {
      firstNotReady ??= { shard: name, message: condition?.message ?? 'not looked at yet' };
      const since = condition?.lastTransitionTime ?? shard.metadata.creationTimestamp;
      if (since !== undefined && (worst.notReadySince === undefined || since < worst.notReadySince)) {
        worst = { ...worst, notReadySince: since, notReadyShard: name };
      }
    }
    if (isSettled(shard)) settled++;
    const schema = findCondition(shard, 'SchemaApplied');
    if (schema?.status === 'True' && status?.schema?.hash === shard.spec.schema?.hash) schemaDone++;
    if (schema?.status === 'False' && schema.reason !== 'Pending')
      schemaFailed ??= { shard: name, message: schema.message };
    const hold = heldBy(shard);
    if (hold) held ??= { shard: name, message: hold.message };
    sizeBytes += status?.sizeBytes ?? 0;
    if ((status?.sizeBytes ?? -1) > (worst.sizeBytes ?? -1)) {
      worst = { ...worst, sizeBytes: status?.sizeBytes ?? 0, sizeShard: name };
    }
    if ((status?.lagBytes ?? -1) > (worst.lagBytes ?? -1)) {
      worst = { ...worst, lagBytes: status?.lagBytes ?? 0, lagShard: name };
    }
    const version = versionOf(status?.referenceVersion);
    if (version !== undefined) {
      if (oldest === undefined || version < oldest.version) oldest = { version, shard: name };
      if (newest === undefined || version > newest) newest = version;
    }
    const expiry = status?.certificateExpiry;
    if (expiry !== undefined && (certificateExpiry === undefined || expiry < certificateExpiry))
      certificateExpiry = expiry;
  }
  return {
    ready: readyCount,
    settled,
    schemaApplied: schemaDone,
    schemaFailed,
    firstNotReady,
    held,
    paused: shards.every(
      ({ metadata, status }) => metadata.deletionTimestamp !== undefined || status?.phase === 'Paused',
    ),
    worst,
    sizeBytes,
    referenceVersion: oldest?.version.toString(),
    referencesBehind:
      oldest !== undefined && newest !== undefined && oldest.version < newest ? oldest.shard : undefined,
    certificateExpiry,
  };
}

function heldBy(shard: Shard): WantedCondition | undefined {
  const stalled = findCondition(shard, 'Stalled');
  if (stalled?.status === 'True') return stalled;
  const work = findCondition(shard, 'Reconciling');
  return work?.status === 'True' && work.reason === 'Paused' ? work : undefined;
}

function ready(sum: Summary, wanted: number, allReady: boolean): WantedCondition {
  if (allReady)
    return {
      type: 'Ready',
      status: 'True',
      reason: 'AllShardsReady',
      message: `${wanted} of ${wanted} shards are ready`,
    };
  const first = sum.firstNotReady ? `; ${sum.firstNotReady.shard}: ${sum.firstNotReady.message}` : '';
  return {
    type: 'Ready',
    status: 'False',
    reason: 'ShardsNotReady',
    message: `${sum.ready} of ${wanted} shards are ready${first}`,
  };
}

function reconciling(input: ClusterStatusInput, unsettled: number, sum: Summary): WantedCondition {
  if (input.paused) return reconcilingWhilePaused(input.cluster);
  if (input.problem) return idle('Stalled', input.problem.message);
  if (input.progress !== undefined)
    return { type: 'Reconciling', status: 'True', reason: 'Recovering', message: input.progress };
  if (unsettled > 0) {
    const why = sum.held ? `; ${sum.held.shard}: ${sum.held.message}` : '';
    return {
      type: 'Reconciling',
      status: 'True',
      reason: input.waiting > 0 ? 'RollingOut' : 'ShardsProgressing',
      message: `${unsettled} shards are not at the newest spec yet${why}`,
    };
  }
  if (input.rotating) {
    return {
      type: 'Reconciling',
      status: 'True',
      reason: 'RotatingPasswords',
      message: 'new passwords are being handed out',
    };
  }
  return idle('AsWanted', 'every shard is at the newest spec');
}

function idle(reason: string, message: string): WantedCondition {
  return { type: 'Reconciling', status: 'False', reason, message };
}

function schemaApplied(input: ClusterStatusInput, sum: Summary, wanted: number): WantedCondition | undefined {
  if (!input.cluster.spec.schema) return undefined;
  const type = 'SchemaApplied';
  if (sum.schemaFailed) {
    return {
      type,
      status: 'False',
      reason: 'SchemaFailed',
      message: `${sum.schemaFailed.shard}: ${sum.schemaFailed.message}`,
    };
  }
  return sum.schemaApplied === wanted
    ? { type, status: 'True', reason: 'Applied', message: `every file is applied on ${wanted} shards` }
    : {
        type,
        status: 'False',
        reason: 'Pending',
        message: `applied on ${sum.schemaApplied} of ${wanted} shards`,
      };
}

function referencesCurrent(sum: Summary, cluster: ShardCluster): WantedCondition | undefined {
  if (!cluster.spec.sharding.tables.some(table => table.reference)) return undefined;
  const type = 'ReferencesCurrent';
  return sum.referencesBehind === undefined
    ? {
        type,
        status: 'True',
        reason: 'Current',
        message: `every shard is at version ${sum.referenceVersion ?? '0'}`,
      }
    : {
        type,
        status: 'False',
        reason: 'Behind',
        message: `${sum.referencesBehind} is at version ${sum.referenceVersion ?? '0'}`,
      };
}

function statesOf(map: ShardMap): NonNullable<ShardClusterStatus['states']> {
  const states = { active: 0, readonly: 0, maintenance: 0 };
  for (const shard of map.shards) states[shard.state]++;
  return states;
}

function phaseOf(input: ClusterStatusInput, sum: Summary, allReady: boolean, unsettled: number): string {
  if (input.cluster.metadata.deletionTimestamp) return 'Deleting';
  // Who reads Paused may rely on it: what was under way on a shard when the pause came has ended.
  if (input.paused) return sum.paused ? 'Paused' : 'Pausing';
  if (input.problem) return 'Stalled';
  if (input.progress !== undefined) return 'Recovering';
  const before = input.cluster.status?.phase;
  // Before it was ever Ready nothing is degraded yet; a fleet that waited for a person may go on being created.
  if (!allReady)
    return before === undefined || before === 'Creating' || before === 'Recovering' ? 'Creating' : 'Degraded';
  return unsettled > 0 || input.rotating ? 'Updating' : 'Ready';
}

function versionOf(text: string | undefined): bigint | undefined {
  return text !== undefined && /^\d+$/.test(text) ? BigInt(text) : undefined;
}
