/**
 * Which shards a migration counts on, so that nobody takes them away or changes what is in them. Read loosely: a migration that is not
 * valid any more still counts. Pure.
 */
import type { KubeObject } from '#kernel/object.ts';
import type { PlanProblem } from '#sharding/errors.ts';
import { ENDED } from './facts.ts';

/**
 * Why a plan is refused for good: another migration has to be made. What is not here may pass without that - a shard becomes active, or
 * is made, `spec.shards` is lowered as the message asks - and then shards that were named must still be there.
 */
const IMPOSSIBLE: ReadonlySet<unknown> = new Set<
  PlanProblem | 'AlreadyThere' | 'PlanTooLarge' | 'NotYetSupported'
>([
  'NoSuchShard',
  'NothingToMove',
  'TooFewParts',
  'UselessSplitPoint',
  'OtherRegion',
  'OverlappingRanges',
  'NoSuchSlots',
  'NotOwned',
  'HomeOfReferenceTables',
  'NotWithThisAlgorithm',
  'AlreadyThere',
  'PlanTooLarge',
  'NotYetSupported',
]);

/** It touches something, or is going to. */
export function isUnderWay(migration: KubeObject): boolean {
  const [spec, status] = [fields(migration['spec']), fields(migration['status'])];
  if (ENDED.has(String(status['phase'])) || spec['dryRun'] === true) return false;
  return status['transfers'] !== undefined || !isImpossible(migration);
}

/** Shards by name that it names and those that its plan has found; none when it is not under way. */
export function shardsInUse(migration: KubeObject): readonly string[] {
  if (!isUnderWay(migration)) return [];
  const planned = list(fields(migration['status'])['transfers']).flatMap(each => {
    const { source, target } = fields(each);
    return [source, target];
  });
  return [...namedShards(migration['spec']), ...planned.filter(name => typeof name === 'string')];
}

/** Shards that a spec names. */
export function namedShards(spec: unknown): readonly string[] {
  const { split, merge, move, slots } = fields(spec);
  const { from, to } = fields(slots);
  return [fields(split)['shard'], ...list(fields(merge)['shards']), fields(move)['shard'], from, to].filter(
    name => typeof name === 'string',
  );
}

/** Its controller has said so of this very spec. */
function isImpossible({ metadata, ...migration }: KubeObject): boolean {
  return list(fields(migration['status'])['conditions'])
    .map(fields)
    .some(
      ({ type, status, reason, observedGeneration }) =>
        type === 'Stalled' &&
        status === 'True' &&
        IMPOSSIBLE.has(reason) &&
        observedGeneration === (metadata.generation ?? 0),
    );
}

export function fields(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
