/** A Shard's status from what is known of it. Pure; what a session last measured is carried over until it measures again. */

import type { WantedCondition } from '#controllers/conditions.ts';
import { reconcilingWhilePaused } from '#controllers/paused.ts';
import type { Shard, ShardStatus } from '#crds/api/shard.ts';
import type { MemberFacts } from '#engines/engine.ts';
import type { RollingReason } from './turns.ts';

/** A renewal of members that is under way, or that waits for its turn. */
export interface Rolling {
  /** In words. */
  readonly what: string;
  readonly reason: RollingReason;
}

/** What a session found out or brought about; kept between sessions. */
export interface Measured {
  readonly sizeBytes?: number | undefined;
  readonly lagBytes?: Readonly<Record<string, number>> | undefined;
  readonly accessHash?: string | undefined;
  readonly secretsVersion?: string | undefined;
  readonly generation?: number | undefined;
  readonly readerGeneration?: number | undefined;
  readonly state?: Shard['spec']['state'] | undefined;
  readonly schema?: ShardStatus['schema'] | undefined;
  readonly referenceVersion?: string | undefined;
  readonly swept?: ShardStatus['swept'] | undefined;
}

export interface ShardStatusInput {
  readonly shard: Shard;
  readonly members: readonly MemberFacts[];
  readonly measured: Measured;
  readonly accessWanted: string;
  /** A renewal of members or volumes that is under way, in words. */
  readonly rolling: Rolling | undefined;
  /** What only a person can put right. */
  readonly problem: { readonly reason: string; readonly message: string } | undefined;
  /** Why the database could not be reached, in words. */
  readonly sessionFailure: string | undefined;
  readonly paused: boolean;
  readonly certificateExpiry: string | undefined;
  /** How the last rebuild stands. */
  readonly rebuild?: ShardStatus['rebuild'] | undefined;
}

export interface ShardStatusResult {
  readonly fields: Omit<ShardStatus, 'conditions'>;
  readonly conditions: readonly WantedCondition[];
}

export function shardStatus(input: ShardStatusInput): ShardStatusResult {
  const { shard, members, measured } = input;
  const primary = members.find(member => member.role === 'primary');
  const lag = measured.lagBytes ?? {};
  const lags = members.flatMap(member => (member.role === 'replica' ? (lag[member.name] ?? []) : []));
  const readyCount = members.filter(member => member.ready).length;
  const notReady = whyNotReady(input, primary, readyCount);
  const conditions: (WantedCondition | undefined)[] = [
    notReady
      ? { type: 'Ready', status: 'False', ...notReady }
      : {
          type: 'Ready',
          status: 'True',
          reason: 'PrimaryServes',
          message: `${primary?.name ?? ''} is primary, ${readyCount} of ${shard.spec.members} members are ready`,
        },
    reconciling(input),
    input.problem
      ? { type: 'Stalled', status: 'True', ...input.problem }
      : { type: 'Stalled', status: 'False', reason: 'Progressing', message: 'nothing needs a person' },
    schemaCondition(input),
  ];
  return {
    fields: {
      observedGeneration: shard.metadata.generation ?? 0,
      phase: phaseOf(input, notReady !== undefined, primary !== undefined),
      ...(primary ? { primary: primary.name } : {}),
      readyMembers: readyCount,
      members: members.slice(0, 16).map(member => ({
        name: member.name,
        role: member.role,
        ready: member.ready,
        ...(member.synchronous ? { synchronous: true } : {}),
        ...(member.role === 'replica' && lag[member.name] !== undefined
          ? { lagBytes: lag[member.name] ?? 0 }
          : {}),
        ...(member.nodeName ? { node: member.nodeName } : {}),
      })),
      ...(primary?.timeline === undefined ? {} : { timeline: primary.timeline }),
      ...carried(measured),
      ...(lags.length > 0 ? { lagBytes: Math.max(...lags) } : {}),
      ...(input.certificateExpiry === undefined ? {} : { certificateExpiry: input.certificateExpiry }),
      ...(input.rebuild === undefined ? {} : { rebuild: input.rebuild }),
    },
    conditions: conditions.filter(condition => condition !== undefined),
  };
}

type Why = Pick<WantedCondition, 'reason' | 'message'>;

function whyNotReady(
  input: ShardStatusInput,
  primary: MemberFacts | undefined,
  readyCount: number,
): Why | undefined {
  const { shard, members, measured } = input;
  const wanted = shard.spec.members;
  if (!primary)
    return { reason: 'NoPrimary', message: `no member is primary; ${readyCount} of ${wanted} are ready` };
  if (!primary.ready)
    return { reason: 'PrimaryNotReady', message: `${primary.name} is primary but not ready` };
  if (measured.accessHash === undefined) {
    return { reason: 'LoginsMissing', message: input.sessionFailure ?? 'the logins are not made yet' };
  }
  if (shard.spec.schema && measured.schema?.hash === undefined) {
    return {
      reason: 'SchemaMissing',
      message: measured.schema?.failed?.message ?? 'spec.schema is not applied yet',
    };
  }
  if (readyCount < wanted) {
    const down = members.filter(member => !member.ready).map(member => member.name);
    return {
      reason: 'MembersNotReady',
      message: `${primary.name} is primary; ${readyCount} of ${wanted} members are ready${down.length > 0 ? ` (not: ${down.join(', ')})` : ''}`,
    };
  }
  if (shard.spec.consistency === 'strong' && wanted > 1 && !members.some(member => member.synchronous)) {
    return {
      reason: 'NoSynchronousMember',
      message: `${primary.name} is primary; no replica is synchronous yet`,
    };
  }
  return undefined;
}

function reconciling(input: ShardStatusInput): WantedCondition {
  if (input.paused) return reconcilingWhilePaused(input.shard);
  const pending = whyPending(input);
  return pending
    ? { type: 'Reconciling', status: 'True', ...pending }
    : { type: 'Reconciling', status: 'False', reason: 'AsWanted', message: 'nothing is under way' };
}

function whyPending(input: ShardStatusInput): Why | undefined {
  const { shard, measured, accessWanted } = input;
  if (input.rolling) {
    return { reason: input.rolling.reason, message: input.rolling.what };
  }
  if (measured.accessHash !== accessWanted) {
    return {
      reason: 'ChangingLogins',
      message: input.sessionFailure ?? 'logins and grants are not at the newest spec',
    };
  }
  if (shard.spec.schema && measured.schema?.hash !== shard.spec.schema.hash && !schemaFailedFor(input)) {
    return { reason: 'ApplyingSchema', message: input.sessionFailure ?? 'spec.schema is not applied yet' };
  }
  return undefined;
}

/** Retrying is of no use before the files change. */
function schemaFailedFor({ shard, measured }: ShardStatusInput): boolean {
  const failed = measured.schema?.failed;
  return failed !== undefined && failed.hash === shard.spec.schema?.hash;
}

function schemaCondition(input: ShardStatusInput): WantedCondition | undefined {
  const { shard, measured } = input;
  const type = 'SchemaApplied';
  if (!shard.spec.schema) return undefined;
  const failed = measured.schema?.failed;
  if (failed && schemaFailedFor(input)) {
    return {
      type,
      status: 'False',
      reason: 'SchemaFailed',
      message: `${failed.file}: ${failed.message}`.slice(0, 4000),
    };
  }
  return measured.schema?.hash === shard.spec.schema.hash
    ? { type, status: 'True', reason: 'Applied', message: `${measured.schema.files} files are applied` }
    : { type, status: 'False', reason: 'Pending', message: 'not applied yet' };
}

function phaseOf(input: ShardStatusInput, notReady: boolean, hasPrimary: boolean): string {
  if (input.shard.metadata.deletionTimestamp) return 'Deleting';
  if (input.paused) return 'Paused';
  if (input.problem) return 'Stalled';
  if (input.rolling?.reason === 'Rebuilding') return 'Rebuilding';
  if (input.rolling && input.rolling.reason !== 'WaitingForTurn') return 'RollingOut';
  if (!notReady) return 'Ready';
  const before = input.shard.status?.phase;
  if (before === undefined || before === 'Creating') return 'Creating';
  return hasPrimary ? 'Degraded' : 'Down';
}

/** Fields that a session filled in, those that have a value. */
function carried(measured: Measured): Partial<ShardStatus> {
  const {
    sizeBytes,
    generation,
    readerGeneration,
    state,
    accessHash,
    secretsVersion,
    schema,
    referenceVersion,
    swept,
  } = measured;
  return {
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    ...(generation === undefined ? {} : { generation }),
    ...(readerGeneration === undefined ? {} : { readerGeneration }),
    ...(state === undefined ? {} : { state }),
    ...(accessHash === undefined ? {} : { accessHash }),
    ...(secretsVersion === undefined ? {} : { secretsVersion }),
    ...(schema === undefined ? {} : { schema }),
    ...(referenceVersion === undefined ? {} : { referenceVersion }),
    ...(swept === undefined ? {} : { swept }),
  };
}

/** What the last status says was measured: where a fresh process starts from. */
export function measuredOf(shard: Shard): Measured {
  const { status } = shard;
  if (!status) return {};
  const lagBytes = Object.fromEntries(
    (status.members ?? []).flatMap(member =>
      member.lagBytes === undefined ? [] : [[member.name, member.lagBytes]],
    ),
  );
  return {
    sizeBytes: status.sizeBytes,
    lagBytes,
    accessHash: status.accessHash,
    secretsVersion: status.secretsVersion,
    generation: status.generation,
    readerGeneration: status.readerGeneration,
    state: status.state,
    schema: status.schema,
    referenceVersion: status.referenceVersion,
    swept: status.swept,
  };
}
