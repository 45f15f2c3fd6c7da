/**
 * What stays with members when the primary changes, and is part of no replication: a demoted primary keeps the slots that it had, as
 * slots of its own, unsynchronized; a replica that is promoted has slots that were dropped a moment ago, and the settings that it was
 * given when it was the primary before. All that holds write-ahead log for ever, stops the synchronizing of slots
 * ([decision 1](../../docs/adr/0001-generation-logins-and-failover-slots.md)), or holds back logical replication.
 */
import type { Client } from 'pg';
import type { MemberAddress, SweepResult } from '#engines/engine.ts';
import { UnreachableError } from '#engines/errors.ts';
import { disconnect } from './connection.ts';
import { slotsOfStreams } from './migration/names.ts';
import { forgetStandbys } from './migration/standbys.ts';

/** A ready replica answers at once; nobody waits long for one that does not. */
const REPLICA_MS = 3_000;

export type OpenReplica = (replica: MemberAddress, signal: AbortSignal) => Promise<Client>;

/** `primary`: in the application's database, as {@link OpenReplica} opens the others. */
export async function sweep(
  primary: Client,
  replicas: readonly MemberAddress[],
  open: OpenReplica,
): Promise<SweepResult> {
  const own = await sweepPrimary(primary);
  const { rows } = await primary.query<{ peer: string }>('SELECT peer FROM shardwright.transfer');
  const peers = rows.map(({ peer }) => peer);
  const found = await Promise.all(
    replicas.map(async replica => ({ replica, slots: await sweepWithin(replica, peers, open) })),
  );
  return {
    changes: [
      ...own,
      ...found.flatMap(
        ({ replica, slots }) => slots?.map(slot => `dropped slot ${slot} of ${replica.name}`) ?? [],
      ),
    ],
    unreached: found.flatMap(({ replica, slots }) => (slots ? [] : [replica.name])),
  };
}

/** Of transfers that have ended. Those that are at work look after their own. */
export async function sweepPrimary(primary: Client): Promise<readonly string[]> {
  // A transfer's journal is there before its slots and goes after them: the slots are read first.
  const { rows: slots } = await primary.query<{ name: string; id: string }>(
    `SELECT slot_name AS name, substring(slot_name FROM $1) AS id FROM pg_replication_slots
     WHERE slot_name ~ $1 AND slot_type = 'logical' AND NOT active AND NOT pg_is_in_recovery()`,
    [slotsOfStreams],
  );
  const { rows: dropped } = await primary.query<{ name: string }>(
    `SELECT s.slot_name AS name, pg_drop_replication_slot(s.slot_name)
     FROM pg_replication_slots s JOIN unnest($1::text[], $2::text[]) AS found (name, id) ON s.slot_name = found.name
     WHERE NOT s.active AND NOT EXISTS (SELECT FROM shardwright.transfer t WHERE t.id = found.id)`,
    [slots.map(({ name }) => name), slots.map(({ id }) => id)],
  );
  const forgotten = await forgetStandbys(primary);
  return [
    ...dropped.map(({ name }) => `dropped slot ${name}`),
    ...(forgotten ? ['took back synchronized_standby_slots'] : []),
  ];
}

/**
 * Slots that a replica does not synchronize from its primary serve no stream. `peers`: system identifiers of other ends, which the slots of
 * first copies carry. Returns the names of those that were dropped; undefined when it is no replica yet.
 */
export async function sweepReplica(
  replica: Client,
  peers: readonly string[],
): Promise<readonly string[] | undefined> {
  const { rows } = await replica.query<{ recovers: boolean; name: string | null }>(
    `SELECT pg_is_in_recovery() AS recovers, name FROM (SELECT) AS one LEFT JOIN (
       SELECT slot_name AS name, pg_drop_replication_slot(slot_name) FROM pg_replication_slots
       WHERE pg_is_in_recovery() AND slot_type = 'logical' AND NOT synced AND NOT active
         AND (slot_name ~ $1 OR slot_name ~ '^pg_[0-9]+_sync_[0-9]+_' AND substring(slot_name FROM '[0-9]+$') = ANY ($2))
     ) AS dropped ON true`,
    [slotsOfStreams, peers],
  );
  return rows[0]?.recovers ? rows.flatMap(({ name }) => name ?? []) : undefined;
}

/** Undefined when it does not answer. */
async function sweepWithin(
  replica: MemberAddress,
  peers: readonly string[],
  open: OpenReplica,
): Promise<readonly string[] | undefined> {
  try {
    const client = await open(replica, AbortSignal.timeout(REPLICA_MS));
    try {
      return await sweepReplica(client, peers);
    } finally {
      await disconnect(client);
    }
  } catch (error) {
    if (error instanceof UnreachableError) return undefined;
    throw error;
  }
}
