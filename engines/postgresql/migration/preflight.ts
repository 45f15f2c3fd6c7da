/**
 * What stands in the way of a transfer, found before anything is touched. Looks only. Each check is a function of the facts of
 * both ends; together they are the list `checks`, and all of them always run, so that a person sees everything at once.
 */
import type { Client } from 'pg';
import type { Estimate, Finding, Transfer } from '#engines/migration.ts';
import { disconnect, sqlState } from '../connection.ts';
import { fullTableName } from '../sql-text.ts';
import type { Ends, OpenEnd } from './ends.ts';
import { type DetailedEstimate, estimate } from './estimate.ts';
import { PartitionError, partitionPredicate } from './predicate.ts';
import { ownerRole, securityDefiner, stableLogin, viewsOfOwner } from './preflight/access.ts';
import { targetDisk, targetTooSmall } from './preflight/capacity.ts';
import { type Check, type Context, failure } from './preflight/check.ts';
import { readFacts } from './preflight/facts-sql.ts';
import { foreignKeys } from './preflight/foreign-keys.ts';
import {
  keyUpdatedByTriggers,
  noPrimaryKey,
  replicaIdentity,
  sequences,
  shardKeyType,
  uniqueWithoutKey,
} from './preflight/keys.ts';
import {
  encodingDiffers,
  eventTriggers,
  extensionsMissing,
  largeObjects,
  longTransactions,
  shardNotActive,
  versionSkew,
  walLevel,
} from './preflight/servers.ts';
import {
  senderHeadroom,
  slotHeadroom,
  synchronousStandbyMissing,
  workerHeadroom,
} from './preflight/streams.ts';
import {
  inheritance,
  orphanRows,
  replicaTriggers,
  rowSecurity,
  rules,
  schemaDiffers,
  tableMissing,
  unloggedTable,
  unsupportedReplicaType,
} from './preflight/tables.ts';
import { quotedTable } from './tables.ts';

/** In the order in which a person should deal with them. */
export const checks: readonly Check[] = [
  shardNotActive,
  versionSkew,
  walLevel,
  encodingDiffers,
  tableMissing,
  schemaDiffers,
  noPrimaryKey,
  shardKeyType,
  replicaIdentity,
  keyUpdatedByTriggers,
  uniqueWithoutKey,
  sequences,
  foreignKeys,
  unloggedTable,
  inheritance,
  unsupportedReplicaType,
  rowSecurity,
  replicaTriggers,
  rules,
  eventTriggers,
  extensionsMissing,
  largeObjects,
  stableLogin,
  ownerRole,
  securityDefiner,
  viewsOfOwner,
  orphanRows,
  slotHeadroom,
  senderHeadroom,
  workerHeadroom,
  longTransactions,
  synchronousStandbyMissing,
  targetDisk,
  targetTooSmall,
];

export interface Preflight {
  readonly findings: readonly Finding[];
  readonly estimate: Estimate;
}

/** Looking for rows of the partition at the target may read its tables from end to end. */
const settings = { statement_timeout: '10min' } as const;

export async function preflight(ends: Ends, transfer: Transfer): Promise<Preflight> {
  const unfit = unfitPartition(transfer);
  if (unfit) return { findings: [unfit], estimate: { rows: 0, bytes: 0 } };
  const context = await gather(ends, transfer);
  const { rows, bytes } = context.estimate;
  return { findings: checks.flatMap(check => check(context)), estimate: { rows, bytes } };
}

/** Everything that the checks look at, from both ends at the same time. */
export async function gather(ends: Ends, transfer: Transfer): Promise<Context> {
  const names = transfer.tables.map(({ name }) => name);
  const [source, target] = await Promise.all([
    using(ends.source, async client => ({
      facts: await readFacts(client, names),
      estimate: await estimated(client, transfer, ends.source),
    })),
    using(ends.target, async client => {
      const facts = await readFacts(client, names);
      const there = new Set(facts.tables.map(({ name }) => name));
      return { facts, orphans: await orphans(client, transfer, there) };
    }),
  ]);
  return {
    transfer,
    shards: { source: ends.source.shard, target: ends.target.shard },
    facts: { source: source.facts, target: target.facts },
    estimate: source.estimate,
    orphans: target.orphans,
  };
}

async function using<T>(end: OpenEnd, work: (client: Client) => Promise<T>): Promise<T> {
  const client = await end.open(settings);
  try {
    return await work(client);
  } finally {
    await disconnect(client);
  }
}

function unfitPartition(transfer: Transfer): Finding | undefined {
  try {
    for (const table of transfer.tables)
      for (const end of ['source', 'target'] as const) partitionPredicate(transfer, table, end);
    return undefined;
  } catch (error) {
    if (error instanceof PartitionError) return failure(error.code, error.message, error.remedy);
    throw error;
  }
}

const nothing: DetailedEstimate = { rows: 0, bytes: 0, totalBytes: 0 };
/** A column that a table does not have, or one of a type that cannot be compared so: other checks say it. */
const unfitColumn = new Set(['42703', '42883']);

async function estimated(client: Client, transfer: Transfer, { shard }: OpenEnd): Promise<DetailedEstimate> {
  return ignoring(() => estimate(client, transfer, shard.spec.sharding.partition), nothing);
}

/** Tables of the target with rows that were to arrive only now; none when the journal knows the transfer. */
async function orphans(
  client: Client,
  transfer: Transfer,
  there: ReadonlySet<string>,
): Promise<readonly string[]> {
  const known = await client.query(`SELECT FROM shardwright.transfer WHERE id = $1`, [transfer.id]);
  if (known.rowCount) return [];
  const found: string[] = [];
  for (const table of transfer.tables) {
    const name = fullTableName(table.name);
    if (!there.has(name)) continue;
    const condition = transfer.targetEmpty ? 'true' : partitionPredicate(transfer, table, 'target', 't');
    const query = `SELECT FROM ${quotedTable(name)} AS t WHERE ${condition} LIMIT 1`;
    if (await ignoring(async () => (await client.query(query)).rowCount, 0)) found.push(name);
  }
  return found;
}

async function ignoring<T>(work: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (unfitColumn.has(sqlState(error) ?? '')) return otherwise;
    throw error;
  }
}
