/**
 * Where everything is in the bucket: `<path>/rows/<table>/<shard>/<date>/part-00001.parquet`, and a manifest in each such folder. Beside it are
 * pgBackRest's own folders `archive` and `backup`, which nothing else may be put into.
 */

const part = /^part-(\d{5})\.parquet$/;

export interface ShardFolder {
  /** Of the fleet's incarnation. */
  readonly path: string;
  /** With its schema. */
  readonly table: string;
  readonly shard: string;
}

export function shardFolder({ path, table, shard }: ShardFolder): string {
  return [...(path === '' ? [] : [path]), 'rows', table, shard, ''].join('/');
}

/** `date`: the day of the rows, UTC. */
export function dayFolder(folder: ShardFolder, date: string): string {
  return `${shardFolder(folder)}${date}/`;
}

export function manifestKey(folder: ShardFolder, date: string): string {
  return `${dayFolder(folder, date)}manifest.json`;
}

/** From 1. */
export function partFile(number: number): string {
  return `part-${String(number).padStart(5, '0')}.parquet`;
}

/** Undefined for what is no part. */
export function partNumber(file: string): number | undefined {
  const found = part.exec(file)?.[1];
  return found === undefined ? undefined : Number(found);
}
