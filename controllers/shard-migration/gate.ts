/**
 * Whether owners may switch now, and if not, why: each check is a small function, asked in order. A switch of writers holds
 * them up, so it is only begun when nothing is known that would make it long. Pure.
 */
import { durationMs } from '#controllers/duration.ts';
import { parseQuantity } from '#controllers/quantity.ts';
import { annotations } from '#crds/api/names.ts';
import type { End, StreamFacts, TransferFacts } from '#engines/migration.ts';
import { type ShardMap, shardByName } from '#sharding/map.ts';
import type { Why } from './decision.ts';
import { type MigrationFacts, otherEnd, type TransferView } from './facts.ts';
import { windowAt } from './window.ts';

/** A transaction that has held locks on a moving table for so long will probably hold them for longer than writers may wait. */
const LONG_TRANSACTION_SECONDS = 1;
const RETRY_BASE_MS = 2000;
const RETRY_MAX_MS = 60_000;

export interface GateInput {
  readonly facts: MigrationFacts;
  readonly view: TransferView;
  readonly transfer: TransferFacts;
  readonly map: ShardMap;
  /** Who gains. */
  readonly to: End;
  readonly now: Date;
}

type Check = (input: GateInput) => Why | undefined;

/** Undefined: go ahead. */
export function readersMustWait(input: GateInput): Why | undefined {
  return first([shardsActive, shardsReady, streamClose, replicasClose], input);
}

export function writersMustWait(input: GateInput): Why | undefined {
  const forward: readonly Check[] =
    input.to === 'target' ? [approved, windowOpen, backStreams, sameSchema] : [];
  return first(
    [...forward, shardsActive, shardsReady, streamClose, replicasClose, noLongTransaction, afterLastTry],
    input,
  );
}

/** The stream that carries what the gainer must have. */
export function streamTo(transfer: TransferFacts, to: End): StreamFacts {
  return to === 'target' ? transfer.forward : transfer.back;
}

export function maxLagBytes({ migration }: MigrationFacts): number {
  return parseQuantity(migration.spec.cutover.maxLag) ?? 0;
}

/** Undefined when the stream is up and near. */
export function streamMustWait(
  facts: MigrationFacts,
  view: TransferView,
  stream: StreamFacts,
): Why | undefined {
  const name = `${view.plan.source} -> ${view.plan.target}`;
  if (stream.kind !== 'Streaming' || !stream.connected) {
    return { reason: 'StreamDown', message: `${name}: waiting until changes are streamed again` };
  }
  const limit = maxLagBytes(facts);
  return stream.lagBytes > limit
    ? {
        reason: 'CatchingUp',
        message: `${name}: ${stream.lagBytes} bytes of write-ahead log are still to be copied, spec.cutover.maxLag is ${limit}`,
      }
    : undefined;
}

export function isApproved({ migration }: MigrationFacts): boolean {
  return migration.spec.cutover.approved || Boolean(migration.metadata.annotations?.[annotations.cutover]);
}

/** Doubles with every attempt that undid itself. */
export function retryAfterMs(tries: number): number {
  return tries <= 0 ? 0 : Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** Math.min(tries - 1, 20));
}

function first(checks: readonly Check[], input: GateInput): Why | undefined {
  for (const check of checks) {
    const why = check(input);
    if (why) return why;
  }
  return undefined;
}

const approved: Check = ({ facts }) => {
  const { spec, metadata } = facts.migration;
  if (spec.cutover.mode === 'Automatic' || isApproved(facts)) return undefined;
  return {
    reason: 'WaitingForApproval',
    message: `ready to switch writes: approve with kubectl annotate shardmigration/${metadata.name} ${annotations.cutover}=now, or set spec.cutover.approved`,
  };
};

/** A person's approval outranks the window. */
const windowOpen: Check = ({ facts, now }) => {
  const { mode, window } = facts.migration.spec.cutover;
  if (mode === 'Manual' || window === undefined) return undefined;
  const found = windowAt(window, now);
  if (!found) {
    return {
      reason: 'WindowUnreadable',
      message: `spec.cutover.window "${window}" is no cron expression: write five fields, such as "* 1-4 * * *"`,
    };
  }
  if (found.open) return undefined;
  return {
    reason: 'OutsideWindow',
    message: found.opens
      ? `ready to switch writes: spec.cutover.window opens at ${found.opens.toISOString()}`
      : `spec.cutover.window "${window}" never opens again: change or remove it`,
  };
};

const shardsActive: Check = ({ map, view }) => {
  const name = [view.plan.source, view.plan.target].find(each => shardByName(map, each)?.state !== 'active');
  return name === undefined
    ? undefined
    : {
        reason: 'ShardNotActive',
        message: `shard ${name} is not active: take it out of spec.shardStates of the ShardCluster`,
      };
};

const shardsReady: Check = ({ facts, view }) => shardsMustWait(facts, view);

export function shardsMustWait(facts: MigrationFacts, { plan }: TransferView): Why | undefined {
  for (const name of [plan.source, plan.target]) {
    const shard = facts.shards.get(name);
    if (!shard) return { reason: 'ShardNotReady', message: `waiting for Shard ${name} to be made` };
    if (!shard.ready) {
      return { reason: 'ShardNotReady', message: `waiting for Shard ${name} to be Ready: ${shard.message}` };
    }
  }
  return undefined;
}

const sameSchema: Check = ({ facts, view: { plan } }) => {
  const [source, target] = [facts.shards.get(plan.source), facts.shards.get(plan.target)];
  return source?.schema === target?.schema
    ? undefined
    : {
        reason: 'SchemaDiffers',
        message: `waiting until ${plan.source} and ${plan.target} have the same files of spec.schema`,
      };
};

const streamClose: Check = ({ facts, view, transfer, to }) =>
  streamMustWait(facts, view, streamTo(transfer, to));

/** Without the stream back there would be no rolling back. */
const backStreams: Check = ({ view, transfer: { back } }) =>
  back.kind === 'Streaming' && back.connected
    ? undefined
    : {
        reason: 'StreamDown',
        message: `${view.plan.target} -> ${view.plan.source}: waiting until the stream back is up`,
      };

const replicasClose: Check = ({ facts, view: { plan }, transfer }) => {
  const limit = maxLagBytes(facts);
  for (const end of ['source', 'target'] as const) {
    const { replicaLagBytes } = transfer.ends[end];
    if (replicaLagBytes <= limit) continue;
    return {
      reason: 'ReplicasLag',
      message: `a replica of ${plan[end]} is ${replicaLagBytes} bytes behind, spec.cutover.maxLag is ${limit}`,
    };
  }
  return undefined;
};

const noLongTransaction: Check = ({ view: { plan }, transfer, to }) => {
  const loser = otherEnd(to);
  const seconds = transfer.ends[loser].oldestTransactionSeconds;
  return seconds < LONG_TRANSACTION_SECONDS
    ? undefined
    : {
        reason: 'LongTransaction',
        message: `a transaction on ${plan[loser]} has held locks on moving tables for ${Math.round(seconds)} s: waiting until it ends`,
      };
};

const afterLastTry: Check = ({ facts, now }) => {
  const { tries = 0, lastUndone = '', lastUndoneTime } = facts.status.cutover ?? {};
  if (lastUndoneTime === undefined) return undefined;
  const due = Date.parse(lastUndoneTime) + retryAfterMs(tries);
  return now.getTime() >= due
    ? undefined
    : {
        reason: 'CutoverUndone',
        message: `the switch of writes undid itself (${lastUndone}): trying again after ${new Date(due).toISOString()}`,
      };
};

/** What a fence may cost. */
export function fenceLimits({ migration }: MigrationFacts): {
  readonly lockTimeoutMs: number;
  readonly maxStallMs: number;
} {
  const { lockTimeout, maxWriteStall } = migration.spec.cutover;
  return { lockTimeoutMs: durationMs(lockTimeout), maxStallMs: durationMs(maxWriteStall) };
}
