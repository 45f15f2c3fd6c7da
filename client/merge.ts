/** How the shards' results of one scatter become one result. Pure; a merge may be any function of this shape. */
import type { ShardResult } from './client.ts';

/** `parts` are ordered by the shards' ordinals. */
export type Merge<R extends object, T> = (parts: readonly ShardResult<R>[]) => T;
