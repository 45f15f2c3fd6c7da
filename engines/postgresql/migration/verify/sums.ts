/**
 * Sums of hashes: per bucket for a whole table, then the rows of the buckets whose sums are not the same. Both ends are read
 * by single statements of almost the same moment - the follower's snapshot is taken when everything of the leader's has
 * arrived - so that under writing only what changed within that moment needs a second look.
 */
import type { Client } from 'pg';
import type { TableText } from './table-text.ts';

export interface Sum {
  readonly rows: number;
  readonly hash: string;
}

export type Sums = ReadonlyMap<number, Sum>;

export interface Both<T> {
  readonly leader: T;
  readonly follower: T;
}

/** Which rows are looked at: of the table, those of the partition; with `sample`, those of one sixteenth of the keys. */
export interface Scope {
  readonly table: TableText;
  /** Per end, as a directory's default shard is told apart at each end in its own way. */
  readonly where: Both<string>;
  /** Buckets, a power of two. */
  readonly buckets: number;
  readonly sample?: number;
}

/** About so many rows share a bucket. */
const ROWS_PER_BUCKET = 512;
const MAX_BUCKETS = 65_536;
const SAMPLES = 16;

export function bucketsFor(rows: number): number {
  return Math.min(MAX_BUCKETS, Math.max(64, 2 ** Math.ceil(Math.log2(Math.max(1, rows) / ROWS_PER_BUCKET))));
}

export function sampleFrom(random: () => number): number {
  return Math.floor(random() * SAMPLES);
}

/** Runs `look` on both ends, at moments as close as replication allows. */
export async function sideBySide<T>(
  { leader, follower }: Both<Client>,
  arrived: () => Promise<void>,
  look: (client: Client, end: keyof Both<unknown>) => Promise<T>,
): Promise<Both<T>> {
  const taken = snapshot(leader);
  const [atLeader, atFollower] = await Promise.all([
    taken.then(() => look(leader, 'leader')),
    taken
      .then(arrived)
      .then(() => snapshot(follower))
      .then(() => look(follower, 'follower')),
  ]);
  await Promise.all([leader.query('COMMIT'), follower.query('COMMIT')]);
  return { leader: atLeader, follower: atFollower };
}

async function snapshot(client: Client): Promise<void> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  await client.query('SELECT pg_current_snapshot()');
}

export async function bucketSums(client: Client, scope: Scope, end: keyof Both<unknown>): Promise<Sums> {
  const { rows } = await client.query<{ bucket: number; rows: string; hash: string }>(
    `SELECT ${bucketOf(scope)} AS bucket, count(*)::text AS rows, sum(${scope.table.rowHash})::text AS hash
     FROM ${scope.table.from} AS t WHERE ${conditionOf(scope, end)} GROUP BY 1`,
  );
  return new Map(rows.map(({ bucket, rows: count, hash }) => [bucket, { rows: Number(count), hash }]));
}

/** Buckets whose sums are not the same, in groups of at most `rowsPerGroup` rows where a bucket is not larger alone. */
export function unequalBuckets(sums: Both<Sums>, rowsPerGroup: number): readonly (readonly number[])[] {
  const groups: number[][] = [];
  let room = 0;
  for (const bucket of new Set([...sums.leader.keys(), ...sums.follower.keys()])) {
    const [left, right] = [sums.leader.get(bucket), sums.follower.get(bucket)];
    if (left && right && left.rows === right.rows && left.hash === right.hash) continue;
    const rows = Math.max(left?.rows ?? 0, right?.rows ?? 0);
    if (rows > room) {
      groups.push([]);
      room = rowsPerGroup;
    }
    groups.at(-1)?.push(bucket);
    room -= rows;
  }
  return groups;
}

export interface HashedRow {
  /** The texts of the key's columns. */
  readonly key: readonly string[];
  readonly hash: string;
}

/** By the JSON of the key. */
export type Rows = ReadonlyMap<string, HashedRow>;

export async function bucketRows(
  client: Client,
  scope: Scope,
  end: keyof Both<unknown>,
  buckets: readonly number[],
): Promise<Rows> {
  const keys = scope.table.keys.map(key => `${key.column}::text`).join(', ');
  const { rows } = await client.query<string[]>({
    text: `SELECT ${scope.table.rowHash}::text, ${keys} FROM ${scope.table.from} AS t
      WHERE ${conditionOf(scope, end)} AND ${bucketOf(scope)} = ANY ($1::int[])`,
    values: [buckets],
    rowMode: 'array',
  });
  return new Map(rows.map(([hash = '', ...key]) => [JSON.stringify(key), { key, hash }]));
}

/** Keys whose rows are not the same at both ends. */
export function unequalKeys({ leader, follower }: Both<Rows>): readonly (readonly string[])[] {
  const changed = leader.entries().filter(([name, row]) => follower.get(name)?.hash !== row.hash);
  const extra = follower.entries().filter(([name]) => !leader.has(name));
  return [...changed, ...extra].map(([, row]) => row.key);
}

/** The sample is told by other bits than the bucket. */
function bucketOf({ table, buckets }: Scope): string {
  return `((${table.keyHash} >> 4) & ${buckets - 1})::int`;
}

function conditionOf({ table, where, sample }: Scope, end: keyof Both<unknown>): string {
  return sample === undefined
    ? where[end]
    : `${where[end]} AND (${table.keyHash} & ${SAMPLES - 1}) = ${sample}`;
}
