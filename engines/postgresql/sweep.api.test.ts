/** On a real primary with a real replica: what nobody needs any more goes, what is in use or somebody else's stays. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { UnreachableError } from '#engines/errors.ts';
import { type PostgresContainer, startPostgres } from '#engines/postgresql/testing/container.ts';
import { ensurePostgresImage } from '#hack/images/build.ts';
import { until } from './migration/testing/pair.ts';
import { sweep, sweepReplica } from './sweep.ts';

const exec = promisify(execFile);
const port = 5433;
let container: PostgresContainer;
let primary: Client;
let replica: Client;

beforeAll(async () => {
  container = await startPostgres(await ensurePostgresImage(), ['social-0.fleet.svc'], {
    hot_standby_feedback: 'on',
  });
  const connection = { user: 'postgres', password: container.superuserPassword, database: 'postgres' };
  const ssl = { ca: container.ca, servername: 'social-0.fleet.svc' };
  primary = new Client({ ...connection, ssl, host: container.host, port: container.port });
  await primary.connect();
  await primary.query(`SELECT pg_create_physical_replication_slot('replica')`);
  await primary.query(`SELECT pg_create_logical_replication_slot('sw_x1_b', 'pgoutput', false, false, true)`);
  const start = `echo 'local replication all peer' >> /var/lib/postgresql/data/pg_hba.conf && psql -qh /tmp -c 'SELECT pg_reload_conf()' &&
    pg_basebackup -h /tmp -D /tmp/replica -R -S replica -d 'dbname=postgres' &&
    pg_ctl -sw -D /tmp/replica -l /tmp/replica.log -o "-p ${port} -c sync_replication_slots=on -c wal_level=logical -c listen_addresses='*' -c unix_socket_directories=/tmp -c ssl=on -c ssl_cert_file=/tmp/tls.crt -c ssl_key_file=/tmp/tls.key -c hot_standby_feedback=on" start`;
  await exec('docker', ['exec', '--env=PGUSER=postgres', container.name, 'sh', '-c', start]);
  replica = new Client({ ...connection, ssl, host: container.address, port });
  await replica.connect();
});
afterAll(async () => {
  await replica?.end();
  await primary?.end();
  await container?.[Symbol.asyncDispose]();
});

const slotsOf = async (client: Client) => {
  const { rows } = await client.query<{ slot_name: string }>(
    "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'logical' ORDER BY 1",
  );
  return rows.map(row => row.slot_name);
};

test('a replica loses what it does not synchronize, and nothing that is not of a stream', async () => {
  const own = ['sw_x1_f', 'pg_16400_sync_16390_7123', 'pg_16400_sync_16390_7999', 'somebodys'];
  // Slots of the replica's own making look like what a demoted primary keeps. Making one waits for news of the primary.
  const news = setInterval(
    () => void primary.query('SELECT pg_log_standby_snapshot()').catch(() => undefined),
    100,
  );
  for (const slot of own)
    await replica.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  await until(
    'synchronized',
    () => slotsOf(replica),
    found => found.includes('sw_x1_b'),
  );
  clearInterval(news);
  expect(await slotsOf(replica)).toEqual([...own, 'sw_x1_b'].toSorted());
  expect(await sweepReplica(replica, ['7123'])).toEqual(['sw_x1_f', 'pg_16400_sync_16390_7123']);
  expect(await slotsOf(replica)).toEqual(['pg_16400_sync_16390_7999', 'somebodys', 'sw_x1_b']);
  expect(await sweepReplica(replica, ['7123'])).toEqual([]);
});

test('a member that is a primary still is no replica that was swept', async () => {
  expect(await sweepReplica(primary, [])).toBeUndefined();
  expect(await slotsOf(primary)).toContain('sw_x1_b');
});

const unreachable = () => Promise.reject(new UnreachableError('gone-1 does not answer'));

test('a primary loses slots and the setting of transfers that have ended', async () => {
  await primary.query('CREATE SCHEMA shardwright; CREATE TABLE shardwright.transfer (id text, peer text)');
  await primary.query("INSERT INTO shardwright.transfer VALUES ('x1', '7123')");
  for (const slot of ['sw_x0_f', 'others'])
    await primary.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  await primary.query(`ALTER SYSTEM SET synchronized_standby_slots = 'replica'`);
  await primary.query('SELECT pg_reload_conf()');
  const setting = async () =>
    (
      await primary.query<{ setting: string }>(
        "SELECT current_setting('synchronized_standby_slots') AS setting",
      )
    ).rows[0]?.setting;
  await until('set', setting, value => value === 'replica');

  const gone = { name: 'gone-1', host: '127.0.0.2' };
  expect(await sweep(primary, [gone], unreachable)).toEqual({
    changes: ['dropped slot sw_x0_f'],
    unreached: ['gone-1'],
  });
  expect(await slotsOf(primary)).toEqual(['others', 'sw_x1_b']);
  expect(await setting()).toBe('replica');

  await primary.query('DELETE FROM shardwright.transfer');
  expect(await sweep(primary, [], unreachable)).toEqual({
    changes: ['dropped slot sw_x1_b', 'took back synchronized_standby_slots'],
    unreached: [],
  });
  await until('reset', setting, value => value === '');
  expect(await sweep(primary, [], unreachable)).toEqual({ changes: [], unreached: [] });
  expect(await slotsOf(primary)).toEqual(['others']);
});
