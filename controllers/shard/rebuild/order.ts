/**
 * What a person has asked of a shard that is to be made again from its backups. Never asked by the operator itself: what the backups
 * do not hold is lost with it, and whether an old volume can still be saved is not to be seen from here. Pure.
 */
import { annotations } from '#crds/api/names.ts';
import type { Shard, ShardRebuildStatus } from '#crds/api/shard.ts';
import { digest } from '#kernel/canonical.ts';
import { timestamp } from '#kernel/conditions.ts';

export interface RebuildOrder {
  /** Another time or another `shardwright.io/retry` is another order, and so is the same once the last one is over. */
  readonly id: string;
  /** `latest`, or a time in RFC 3339. */
  readonly to: string;
  /** What is on the old volumes may go once the database is whole again. */
  readonly discard: boolean;
  /** The annotation was taken away before it was done. */
  readonly withdrawn: boolean;
}

const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/;

/** Undefined where nothing is asked for and nothing is under way. */
export function orderOf({ metadata, status }: Shard): RebuildOrder | undefined {
  const { [annotations.rebuild]: asked, [annotations.retry]: retry } = metadata.annotations ?? {};
  if (asked !== undefined) {
    const last = status?.rebuild?.ended ?? status?.rebuild?.follows;
    return {
      id: digest([metadata.uid, asked, retry, last]).slice(0, 12),
      to: asked,
      discard: metadata.annotations?.[annotations.discardVolumes] === 'true',
      withdrawn: false,
    };
  }
  const rebuild = status?.rebuild;
  if (rebuild?.state !== 'Running' && rebuild?.state !== 'Failed') return undefined;
  return { id: rebuild.request, to: rebuild.to, discard: rebuild.discard, withdrawn: true };
}

/** What Shard.status goes on to say of the last one, once it is no longer asked for. */
export function concluded(
  rebuild: ShardRebuildStatus | undefined,
  now: Date,
): ShardRebuildStatus | undefined {
  return rebuild === undefined || rebuild.ended !== undefined
    ? rebuild
    : { ...rebuild, ended: timestamp(now) };
}

export function isTime(text: string): boolean {
  return TIME.test(text) && !Number.isNaN(Date.parse(text));
}
