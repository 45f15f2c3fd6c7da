/**
 * After a change of primary the old one keeps its slot of a stream as one of its own, unsynchronized, and that stops all
 * synchronizing there ([decision 1](../../../docs/adr/0001-generation-logins-and-failover-slots.md)): the next change of primary would
 * lose the slot. So the replicas are looked at once for every new timeline.
 */
import type { Client } from 'pg';
import { UnreachableError } from '#engines/errors.ts';
import { administrative, connect, disconnect } from '../connection.ts';
import { roles } from '../names.ts';
import { namespaceOf } from '../object.ts';
import type { OpenEnd } from './ends.ts';
import { streamName, streams } from './names.ts';

/** A ready replica answers at once; nobody waits long for one that does not. */
const REPLICA_MS = 3_000;

/** False when a replica was not reached: to be tried again. */
export async function sweepReplicas(end: OpenEnd, id: string): Promise<boolean> {
  const { shard, given } = end;
  const swept = await Promise.all(given.standbys.map(pod => sweepReplica(end, pod, id)));
  return swept.every(Boolean) && swept.length >= shard.spec.members - 1;
}

async function sweepReplica(
  { shard, given, serverName }: OpenEnd,
  pod: string,
  id: string,
): Promise<boolean> {
  const { name } = shard.metadata;
  try {
    const client = await connect(
      {
        // The replica itself, by the name that the headless Service gives it.
        host: `${pod}.${name}-members.${namespaceOf(shard)}.svc`,
        serverName,
        ca: given.target.ca,
        user: roles.superuser,
        password: given.target.passwords.superuser,
        database: shard.spec.engine.database,
        settings: administrative,
      },
      AbortSignal.timeout(REPLICA_MS),
    );
    try {
      await dropLeftOver(client, id);
      return true;
    } finally {
      await disconnect(client);
    }
  } catch (error) {
    if (error instanceof UnreachableError) return false;
    throw error;
  }
}

/** On a replica. Slots that it synchronizes from its primary are left alone. */
export async function dropLeftOver(replica: Client, id: string): Promise<readonly string[]> {
  const { rows } = await replica.query<{ name: string }>(
    `SELECT slot_name AS name, pg_drop_replication_slot(slot_name) FROM pg_replication_slots
     WHERE pg_is_in_recovery() AND slot_name = ANY ($1) AND NOT synced AND NOT active`,
    [streams.map(stream => streamName(id, stream))],
  );
  return rows.map(row => row.name);
}
