/** Everything an application may import from `shardwright/client`. */
export type * from './client.ts';
export { createClient } from './create-client.ts';
export * from './errors.ts';
export { createClientFromDirectory, type DirectoryOptions } from './from-directory.ts';
export type * from './hooks.ts';
export { type Aggregate, aggregate, byShard, concat, type Merge, type OrderBy, ordered } from './merge.ts';
export type * from './options.ts';
export type { Result, Row, ShardResult } from './result.ts';
