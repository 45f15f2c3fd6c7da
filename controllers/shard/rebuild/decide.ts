/**
 * What to do next for a shard that is made again from its backups, as data: stop what is left of it, fill the first member's volume,
 * make sure that what came back owned what the map gives the shard now, start that member alone, then let the others begin anew.
 * Everything is derived from what is there; the mark on the filled volume is the point of no return. Pure.
 */

import { claimsOf } from '#controllers/shard-cluster/recovery/claims.ts';
import { safeMoment } from '#crds/api/backup/shard-status.ts';
import { annotations } from '#crds/api/names.ts';
import type { Shard, ShardRebuildStatus } from '#crds/api/shard.ts';
import type { MergePatch } from '#engines/engine.ts';
import type { RecoveryReport } from '#engines/recovery.ts';
import { timestamp } from '#kernel/conditions.ts';
import { withoutPart } from '#sharding/arithmetic.ts';
import { isEmptyPartition } from '#sharding/parts.ts';
import { type ClaimView, otherClaims, type RebuildFacts } from './facts.ts';
import { type Refusal, refusalOf, volumesInTheWay } from './refusals.ts';

export type RebuildAction =
  | { readonly kind: 'CreateClaim' }
  | { readonly kind: 'CreateJob' }
  /** Its pod is gone before it is. */
  | { readonly kind: 'DeleteJob'; readonly name: string; readonly uid: string | undefined }
  | { readonly kind: 'Forget'; readonly patch: MergePatch }
  | { readonly kind: 'MarkClaim'; readonly claim: ClaimView }
  | { readonly kind: 'DeleteClaim'; readonly claim: ClaimView }
  /** The annotations go, and a full backup is asked for: the archive goes on under another history. */
  | { readonly kind: 'Conclude' };

export interface RebuildPlan {
  readonly actions: readonly RebuildAction[];
  /** Members that there may be; as many as the spec says if absent. */
  readonly replicas?: number;
  /** What Shard.status is to say of it. */
  readonly status: ShardRebuildStatus | undefined;
  /** What a person has to put right. */
  readonly problem?: Refusal;
  /** In words. */
  readonly progress?: string;
  /** What was measured of the database that was there holds no longer, and nobody speaks to one. */
  readonly blank: boolean;
}

export function decideRebuild(facts: RebuildFacts): RebuildPlan {
  const { shard, order } = facts;
  const before = shard.status?.rebuild;
  const ours = before?.request === order.id ? before : undefined;
  if (ours?.state === 'Done') return { actions: [{ kind: 'Conclude' }], status: ours, blank: false };
  if (ours && order.withdrawn && !isFilled(facts)) return callOff(facts, ours);
  if (ours) return goOn(facts, ours);
  const refusal = refusalOf(facts);
  // One that was under way before keeps what it has come to.
  const held = before?.state === 'Running' || before?.state === 'Failed';
  const kept = held && facts.replicas !== undefined ? { replicas: facts.replicas } : {};
  if (refusal) return { actions: [], ...kept, status: before, problem: refusal, blank: false };
  const message = 'taken up';
  return { actions: [], ...kept, status: beginning(facts, message), progress: message, blank: false };
}

function beginning({ shard, order, now }: RebuildFacts, message: string): ShardRebuildStatus {
  const last = shard.status?.rebuild?.ended ?? shard.status?.rebuild?.follows;
  const safe = safeMoment(shard.status?.backup);
  return {
    request: order.id,
    to: order.to,
    discard: order.discard,
    state: 'Running',
    message,
    since: timestamp(now),
    ...(last === undefined ? {} : { follows: last }),
    ...(safe === undefined ? {} : { safeBefore: safe }),
  };
}

function goOn(facts: RebuildFacts, status: ShardRebuildStatus): RebuildPlan {
  const first = facts.claims.find(({ name }) => name === facts.firstClaim);
  return first?.rebuiltFor === facts.order.id ? start(facts, status) : fill(facts, status, first);
}

/** Nobody of before runs, and the volume is filled. */
function fill(facts: RebuildFacts, status: ShardRebuildStatus, first: ClaimView | undefined): RebuildPlan {
  const { job, order } = facts;
  const at = (progress: string, ...actions: readonly RebuildAction[]): RebuildPlan => ({
    actions,
    replicas: 0,
    status: { ...status, state: 'Running', message: progress },
    progress,
    blank: true,
  });
  if (!facts.stopped)
    return at('stopping what is left of its members; a pod on a node that is gone must be deleted by force');
  if (job && job.request !== order.id)
    return at('clearing away an earlier try', { kind: 'DeleteJob', name: job.name, uid: job.uid });
  if (first?.deleting) return at(`waiting until ${first.name} is gone: it is made anew`);
  if (!first) return at(`making ${facts.firstClaim} anew`, { kind: 'CreateClaim' });
  if (!job) return at(`filling ${first.name} from the newest backup`, { kind: 'CreateJob' });
  const { report } = job;
  if (report?.state === 'Succeeded' && report.result) return adopt(facts, status, first, report.result, at);
  if (job.state === 'Running') {
    const done = (report?.steps ?? []).map(({ name, seconds }) => `${name} ${Math.round(seconds)}s`);
    return at(
      `filling ${first.name} by Job ${job.name}${done.length === 0 ? '' : ` (${done.join(', ')})`}; if its pod cannot start because the ` +
        `volume is lost, delete ${first.name}: it is made anew`,
    );
  }
  const why = report?.failure ?? job.message ?? 'it ended without a word';
  return failed(facts, status, `Job ${job.name}: ${why}`);
}

type Result = NonNullable<RecoveryReport['result']>;

/** What came back may serve: it is what the map thinks that it is, and nothing remembers what was there before. */
function adopt(
  facts: RebuildFacts,
  status: ShardRebuildStatus,
  first: ClaimView,
  { found, systemIdentifier, lastCommit }: Result,
  at: (progress: string, ...actions: readonly RebuildAction[]) => RebuildPlan,
): RebuildPlan {
  const { shard } = facts;
  if (!ownsWhatTheMapSays(shard, found))
    return failed(
      facts,
      status,
      `${shard.metadata.name} owned other keys at ${facts.order.to} than the map gives it now: choose a time after its last migration`,
    );
  const newer = (): ShardRebuildStatus => ({
    ...status,
    ...(lastCommit === undefined ? {} : { lastCommit }),
  });
  const say = (progress: string, ...actions: readonly RebuildAction[]): RebuildPlan => {
    const plan = at(progress, ...actions);
    return { ...plan, status: { ...newer(), state: 'Running', message: progress } };
  };
  // Whoever comes before all is as it should be is told so, by the map and by the database.
  if (shard.spec.state !== 'maintenance') return say('waiting until the map says that it is in maintenance');
  const patches = facts.forget(systemIdentifier);
  if (patches.length > 0)
    return say(
      'forgetting the members of before',
      ...patches.map((patch): RebuildAction => ({ kind: 'Forget', patch })),
    );
  const { accessHash, schema, referenceVersion } = shard.status ?? {};
  if (accessHash !== undefined || schema !== undefined || referenceVersion !== undefined)
    return say('forgetting what was measured before');
  return say(`${first.name} is filled`, { kind: 'MarkClaim', claim: first });
}

function ownsWhatTheMapSays({ spec }: Shard, found: Result['found']): boolean {
  const { keyType, partition } = spec.sharding;
  const nothing = withoutPart(partition, partition, keyType);
  const own = claimsOf([{ ordinal: spec.ordinal, found }], keyType, nothing).get(spec.ordinal) ?? nothing;
  return (
    isEmptyPartition(withoutPart(own, partition, keyType)) &&
    isEmptyPartition(withoutPart(partition, own, keyType))
  );
}

/** The first member alone, until it serves: others would lead with what they still have, or make an empty database. */
function start(facts: RebuildFacts, status: ShardRebuildStatus): RebuildPlan {
  const at = (progress: string, actions: readonly RebuildAction[] = []): RebuildPlan => ({
    actions,
    replicas: 1,
    status: { ...status, state: 'Running', message: progress },
    progress,
    blank: false,
  });
  if (!facts.serves) return at('its first member starts on what came back');
  const others = otherClaims(facts);
  if (others.length > 0) {
    const names = others.map(({ name }) => name).join(', ');
    // They have come since it was taken up, or were seen late.
    const problem = volumesInTheWay(facts);
    if (problem)
      return {
        ...at(`waiting until somebody deletes ${names}: members begin anew on empty volumes`),
        problem,
      };
    return at(
      `volumes of before are let go: ${names}`,
      others.filter(({ deleting }) => !deleting).map(claim => ({ kind: 'DeleteClaim', claim })),
    );
  }
  const { job } = facts;
  if (job) return at('clearing away its Job', [{ kind: 'DeleteJob', name: job.name, uid: job.uid }]);
  const message = lossInWords(status);
  return { actions: [], replicas: 1, status: { ...status, state: 'Done', message }, blank: false };
}

function lossInWords({ to, safeBefore, lastCommit }: ShardRebuildStatus): string {
  const last = lastCommit === undefined ? '' : `; the newest commit that came back is of ${lastCommit}`;
  if (to !== 'latest') return `brought back to ${to}: what was committed later is gone${last}`;
  return `brought back from its backups${safeBefore === undefined ? '' : `: all that was committed before ${safeBefore} is there`}${last}`;
}

function failed({ shard, order }: RebuildFacts, status: ShardRebuildStatus, why: string): RebuildPlan {
  const { name } = shard.metadata;
  const message =
    `${why}. Once that is put right: kubectl shardwright rebuild ${name}${order.to === 'latest' ? '' : ` --to ${order.to}`} --yes; ` +
    `to give it up before anything came back, take ${annotations.rebuild} away`;
  return {
    actions: [],
    replicas: 0,
    status: { ...status, state: 'Failed', message },
    problem: { reason: 'RebuildFailed', message },
    blank: true,
  };
}

/** What is on the volume is not what was there before: there is no way back to that. */
function isFilled({ claims, firstClaim, order, job }: RebuildFacts): boolean {
  const marked = claims.some(claim => claim.name === firstClaim && claim.rebuiltFor === order.id);
  return marked || (job?.request === order.id && job.report?.state === 'Succeeded');
}

function callOff({ job }: RebuildFacts, status: ShardRebuildStatus): RebuildPlan {
  if (!job) {
    const message = 'called off: members start on the volumes that there are';
    return { actions: [], replicas: 0, status: { ...status, state: 'Cancelled', message }, blank: true };
  }
  const message = 'being called off';
  return {
    actions: [{ kind: 'DeleteJob', name: job.name, uid: job.uid }],
    replicas: 0,
    status: { ...status, state: 'Running', message },
    progress: message,
    blank: true,
  };
}
