/**
 * A change that restarts members goes through the fleet in steps: only so many shards work on it at a time, and shards that
 * are unwell count. A shard that is unwell gets the newest spec at once - it may be what heals it. Changes that restart
 * nothing (schema, states, passwords) reach every shard at once. Pure.
 */

import { conditionStatus } from '#controllers/conditions.ts';
import { isPaused } from '#crds/api/names.ts';
import type { Shard, ShardSpec } from '#crds/api/shard.ts';
import { sameJson } from '#kernel/canonical.ts';

const DISRUPTIVE = [
  'members',
  'engine',
  'image',
  'resources',
  'pooler',
  'storage',
  'consistency',
  'spreadRegions',
  'tls',
] as const satisfies readonly (keyof ShardSpec)[];

export interface Wanted {
  readonly existing: Shard | undefined;
  readonly spec: ShardSpec;
}

export interface Budgeted {
  /** In the order given. */
  readonly specs: readonly ShardSpec[];
  /** Shards whose turn has not come. */
  readonly waiting: number;
}

/** A tenth of the fleet, at least one shard and at most twenty. */
export function rolloutBudget(shards: number): number {
  return Math.min(20, Math.max(1, Math.floor(shards / 10)));
}

export function limitRollout(wanted: readonly Wanted[], budget: number): Budgeted {
  const settled = wanted.map(({ existing }) => existing !== undefined && isSettled(existing));
  const busy = wanted.filter(({ existing }, i) => existing && !settled[i] && !keepsStill(existing));
  let free = budget - busy.length;
  let waiting = 0;
  const specs = wanted.map(({ existing, spec }, i) => {
    if (!existing || !disrupts(existing.spec, spec)) return spec;
    // Not merely busy: a shard that is about to take in another change is well, and waits for its turn like any other.
    if (conditionStatus(existing, 'Ready') !== 'True') return spec;
    if (free > 0 && settled[i]) {
      free--;
      return spec;
    }
    waiting++;
    return keepDisruptive(existing.spec, spec);
  });
  return { specs, waiting };
}

/** Ready, and done with the spec it has. */
export function isSettled(shard: Shard): boolean {
  return (
    shard.status?.observedGeneration === shard.metadata.generation &&
    conditionStatus(shard, 'Ready') === 'True' &&
    conditionStatus(shard, 'Reconciling') !== 'True'
  );
}

/** Well, and paused: what waits for it holds up nobody else. When it goes on, its members take turns with the fleet's. */
function keepsStill(shard: Shard): boolean {
  return isPaused(shard) && conditionStatus(shard, 'Ready') === 'True';
}

/**
 * Shards once these were applied, although the caches do not show it yet: their statuses speak of the spec before, so none of
 * them is settled. Otherwise a fleet would be called Ready between a change and its first effect.
 */
export function onceApplied(shards: readonly Shard[], applied: ReadonlySet<string>): readonly Shard[] {
  return shards.map(shard => {
    const { metadata } = shard;
    if (!applied.has(metadata.name)) return shard;
    return { ...shard, metadata: { ...metadata, generation: (metadata.generation ?? 0) + 1 } };
  });
}

function disrupts(old: ShardSpec, next: ShardSpec): boolean {
  return DISRUPTIVE.some(field => !sameJson(old[field], next[field]));
}

function keepDisruptive(old: ShardSpec, next: ShardSpec): ShardSpec {
  const { image: _image, spreadRegions: _spreadRegions, ...rest } = next;
  const { members, engine, resources, pooler, storage, consistency, tls, image, spreadRegions } = old;
  return {
    ...rest,
    members,
    engine,
    resources,
    pooler,
    storage,
    consistency,
    tls,
    ...(image === undefined ? {} : { image }),
    ...(spreadRegions === undefined ? {} : { spreadRegions }),
  };
}
