/**
 * `synchronized_standby_slots` of an end that publishes: exactly the slots of its ready standbys, so that nothing is sent to the
 * other end which a fail-over could lose. A name of a slot that is not there would stop the stream without an error, and a base backup
 * or a change of primary brings an old list along: it is looked at again whenever the transfer is.
 */
import type { Client } from 'pg';
import { quoteLiteral } from '../sql-text.ts';
import type { OpenEnd } from './ends.ts';

/** Patroni's name for the physical slot of a member. */
export function standbySlot(pod: string): string {
  return pod.toLowerCase().replace(/[-.]/g, '_');
}

const setting = 'synchronized_standby_slots';

/** Names slots that exist only: a standby that is about to join is added when its slot is there. */
export async function keepStandbys({ client, given }: OpenEnd): Promise<void> {
  const { rows } = await client.query<{ present: string[]; now: string }>(
    `SELECT coalesce(array_agg(slot_name::text ORDER BY slot_name) FILTER (WHERE slot_name = ANY ($1)), '{}') AS present,
       current_setting('${setting}') AS now
     FROM pg_replication_slots WHERE slot_type = 'physical'`,
    [given.standbys.map(standbySlot)],
  );
  const wanted = rows[0]?.present.join(', ') ?? '';
  if (rows[0] && sameList(rows[0].now, wanted)) return;
  await set(client, wanted);
}

/** When no transfer publishes here. True when there was something to forget. */
export async function forgetStandbys(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ needed: boolean; now: string }>(
    `SELECT EXISTS (SELECT FROM shardwright.transfer) AS needed, current_setting('${setting}') AS now`,
  );
  if (!rows[0] || rows[0].needed || rows[0].now === '') return false;
  await client.query(`ALTER SYSTEM RESET ${setting}`);
  await client.query('SELECT pg_reload_conf()');
  return true;
}

async function set(client: Client, value: string): Promise<void> {
  await client.query(`ALTER SYSTEM SET ${setting} = ${quoteLiteral(value)}`);
  await client.query('SELECT pg_reload_conf()');
}

export function sameList(left: string, right: string): boolean {
  return namesIn(left) === namesIn(right);
}

function namesIn(list: string): string {
  return list
    .split(',')
    .map(name => name.trim())
    .filter(Boolean)
    .toSorted()
    .join();
}
