/** On a real replica: a slot of its own goes, one that it synchronizes stays. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type PostgresContainer, startPostgres } from '#engines/postgresql/testing/container.ts';
import { ensurePostgresImage } from '#hack/images/build.ts';
import { dropLeftOver } from './left-over-slots.ts';
import { until } from './testing/pair.ts';

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

const slots = async () => {
  const { rows } = await replica.query<{ slot_name: string }>(
    'SELECT slot_name FROM pg_replication_slots ORDER BY 1',
  );
  return rows.map(row => row.slot_name);
};

test('only what an older primary left behind is dropped', async () => {
  // A slot of the replica's own making looks like what a demoted primary keeps. Making it waits for news of the primary.
  const making = replica.query(`SELECT pg_create_logical_replication_slot('sw_x1_f', 'pgoutput')`);
  const news = setInterval(
    () => void primary.query('SELECT pg_log_standby_snapshot()').catch(() => undefined),
    100,
  );
  await making;
  await until('synchronized', slots, found => found.includes('sw_x1_b'));
  clearInterval(news);
  expect(await slots()).toEqual(['sw_x1_b', 'sw_x1_f']);
  expect(await dropLeftOver(replica, 'other')).toEqual([]);
  expect(await dropLeftOver(replica, 'x1')).toEqual(['sw_x1_f']);
  expect(await slots()).toEqual(['sw_x1_b']);
  expect(await dropLeftOver(primary, 'x1')).toEqual([]);
});
