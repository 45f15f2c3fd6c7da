/**
 * Ends the transfers that a database brought along from its backup: what its part of the fleet does not own any more is deleted, and
 * nothing of them is left. The map has decided who owns what, with what all shards knew; so the other end is not asked. Done before
 * any login is opened. The note that the recovery left is what it goes by: transfers that begin later are none of its business.
 */
import type { Client } from 'pg';
import { z } from 'zod';
import { partition } from '#crds/api/partition.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { ConnectTarget } from '#engines/engine.ts';
import { EngineError } from '#engines/errors.ts';
import type { End, Transfer } from '#engines/migration.ts';
import { withoutPart } from '#sharding/arithmetic.ts';
import { isEmptyPartition } from '#sharding/parts.ts';
import { openTransfer } from '../migration/session.ts';
import { restoredTable } from './recovered-sql.ts';

/** Its journal was written by a version that did not say what moves. */
export class RestoredTransferError extends EngineError {
  override readonly name = 'RestoredTransferError';
  readonly code = 'RestoredTransferUnknown';
  readonly remedy = 'Recover the fleet to a time before that migration began, or after it had ended.';
}

/** They go a few thousand at a time, and nobody is let in before. */
export class RestoredRowsRemainError extends EngineError {
  override readonly name = 'RestoredRowsRemainError';
  readonly code = 'RestoredRowsRemain';
  readonly remedy = 'None is needed: the operator goes on by itself.';
  override readonly retryable = true;
}

const row = z.object({
  id: z.string(),
  migration: z.string(),
  side: z.enum(['source', 'target']),
  moves: z.object({ partition, whole: z.boolean(), targetEmpty: z.boolean() }).nullable(),
  generation: z.number(),
});
type Row = z.infer<typeof row>;

/** Returns what was done, in words. Throws {@link RestoredTransferError}, {@link RestoredRowsRemainError}, UnreachableError. */
export async function settleRestored(
  client: Client,
  shard: Shard,
  target: ConnectTarget,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { rows: there } = await client.query<{ there: boolean }>(
    `SELECT to_regclass('${restoredTable}') IS NOT NULL AS there`,
  );
  if (!there[0]?.there) return [];
  const { rows } =
    await client.query(`SELECT t.id, t.migration, t.side, to_jsonb(t) -> 'moves' AS moves, g.writer::float8 AS generation
    FROM shardwright.transfer AS t JOIN ${restoredTable} USING (id), shardwright.generation AS g ORDER BY t.id`);
  const done: string[] = [];
  for (const found of z.array(row).parse(rows)) done.push(await settle(client, shard, target, found, signal));
  await client.query(`DROP TABLE ${restoredTable}`);
  return done;
}

async function settle(
  client: Client,
  shard: Shard,
  target: ConnectTarget,
  found: Row,
  signal: AbortSignal,
): Promise<string> {
  const { id, migration, side, moves } = found;
  if (!moves)
    throw new RestoredTransferError(
      `${shard.metadata.name} came back in the middle of ShardMigration ${migration}, which does not say what it moved`,
    );
  const { keyType, partition: own } = shard.spec.sharding;
  const keeps = isEmptyPartition(withoutPart(moves.partition, own, keyType));
  const owner: End = keeps ? side : other(side);
  // From here on this end's record says what the map says; it is what protects the owner's rows.
  await client.query('UPDATE shardwright.transfer SET decision = $2 WHERE id = $1', [
    id,
    JSON.stringify({
      writes: owner,
      at: new Date().toISOString(),
      stallMs: 0,
      generations: { source: found.generation, target: found.generation },
    }),
  ]);
  await using session = await openTransfer(
    transferOf(shard, found, moves),
    { [side]: { shard, target, standbys: [] } },
    signal,
  );
  if (!(await session.cleanUp(other(owner))))
    throw new RestoredRowsRemainError(
      `${shard.metadata.name} is being rid of what ShardMigration ${migration} had copied`,
    );
  return keeps
    ? `kept what ShardMigration ${migration} was moving`
    : `deleted what ShardMigration ${migration} had moved`;
}

function transferOf(shard: Shard, { id, migration }: Row, moves: NonNullable<Row['moves']>): Transfer {
  const { keyType, tables, geoColumn } = shard.spec.sharding;
  return {
    id,
    migration,
    keyType,
    ...moves,
    tables: tables.flatMap(({ name, key }) => (key === undefined ? [] : [{ name, key }])),
    ...(geoColumn !== undefined && { regionColumn: geoColumn }),
  };
}

function other(end: End): End {
  return end === 'source' ? 'target' : 'source';
}
