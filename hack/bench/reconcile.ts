/**
 * One ShardCluster of hundreds of shards on a private API server with fake nodes: how fast the operator, as a process of its
 * own, makes everything, beside a tight loop that creates the very same objects.
 */
import type { Bench } from './bench.ts';

export const run: Bench['run'] = () => Promise.reject(new Error('is being written'));
