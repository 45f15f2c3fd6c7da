/**
 * A logical fail-over slot through a switchover there and back: does it follow, is nothing lost or repeated, what stays behind
 * on the old primary, and what synchronized_standby_slots costs. `node engines/postgresql/experiments/failover-slots.ts SHARD NAMESPACE`.
 */
import type { Client } from 'pg';
import { callPatroni } from '../patroni-rest.ts';
import {
  type Forwarded,
  forward,
  kubectl,
  login,
  outcome,
  podsWithRole,
  report,
  secretValue,
  session,
  until,
} from './cluster.ts';

const [shard = 'social-0', namespace = 'default'] = process.argv.slice(2);
const place = { shard, namespace };
const password = secretValue(place, `${shard.replace(/-\d+$/, '')}-internal`, 'superuser');

interface Member {
  readonly to: Forwarded;
  readonly client: Client;
}
const open = async (pod: string): Promise<Member> => {
  const to = await forward(place, pod);
  return { to, client: await login(place, to.sql, 'postgres', password, 'postgres') };
};
let [primary, standby] = await Promise.all([
  open(podsWithRole(place, 'primary')[0] ?? ''),
  open(podsWithRole(place, 'replica')[0] ?? ''),
]);

const slots = async ({ client }: Member) => {
  const { rows } = await client.query<Record<string, unknown>>(
    `SELECT slot_name, active, failover, synced, temporary, invalidation_reason FROM pg_replication_slots WHERE slot_type = 'logical'`,
  );
  return rows;
};
const synced = async (member: Member) => {
  const found = (await slots(member)).some(
    slot => slot['slot_name'] === 'move' && slot['synced'] && !slot['temporary'],
  );
  if (!found) throw new Error('not synced');
};
let next = 1;
const received: number[] = [];
const write = async () => void (await primary.client.query('INSERT INTO moved VALUES ($1)', [next++]));
const consume = async () => {
  const { rows } = await primary.client.query<{ data: string }>(
    `SELECT data FROM pg_logical_slot_get_changes('move', NULL, NULL)`,
  );
  for (const { data } of rows) {
    const id = /INSERT: id\[bigint\]:(\d+)/.exec(data)?.[1];
    if (id !== undefined) received.push(Number(id));
  }
};
const switchover = async () => {
  await using admin = await session(place, primary.to);
  const start = performance.now();
  await admin.switchover({ name: primary.to.pod, host: '127.0.0.1' }, standby.to.pod);
  report(`switchover to ${standby.to.pod} takes ms`, Math.round(performance.now() - start));
  const pods = [standby.to.pod, primary.to.pod] as const;
  // A port-forward ends with the first refused connection, so both are made anew.
  await until(
    result => result === 'ok',
    async () => {
      [primary, standby] = [await open(pods[0]), await open(pods[1])];
      const { rows } = await primary.client.query<{ primary: boolean }>(
        'SELECT NOT pg_is_in_recovery() AS primary',
      );
      if (!rows[0]?.primary) throw new Error('still a standby');
    },
  );
};
const setting = async (value: string | null) => {
  const { status, text } = await callPatroni(
    {
      host: '127.0.0.1',
      port: primary.to.rest,
      serverName: `${shard}.${namespace}.svc`,
      ca: secretValue(place, `${shard.replace(/-\d+$/, '')}-ca`, 'ca.crt'),
      password: secretValue(place, `${shard.replace(/-\d+$/, '')}-internal`, 'rest'),
    },
    '/config',
    { postgresql: { parameters: { synchronized_standby_slots: value } } },
    AbortSignal.timeout(10_000),
    'PATCH',
  );
  if (status !== 200) throw new Error(text);
  await until(
    result => result === 'ok',
    async () => {
      const { rows } = await primary.client.query<{ synchronized_standby_slots: string }>(
        'SHOW synchronized_standby_slots',
      );
      if (rows[0]?.synchronized_standby_slots !== (value ?? '')) throw new Error('not yet');
    },
  );
};

await primary.client.query(`DROP TABLE IF EXISTS moved; CREATE TABLE moved (id bigint PRIMARY KEY)`);
await primary.client.query(
  `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'move'`,
);
await standby.client.query(
  `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'move' AND NOT synced`,
);
await primary.client.query(
  `SELECT pg_create_logical_replication_slot('move', 'test_decoding', false, false, true)`,
);
await write();
report('slot is synced to the standby', await untilSynced());
await write();
await consume();
await write();

await switchover();
report('slot on the new primary', await slots(primary));
await write();
report('reading on there', await outcome(consume));
report('slot left behind on the old primary', await slots(standby));
await new Promise(resolve => setTimeout(resolve, 15_000));
report('15 s later, with the logical slots ignored by Patroni', await slots(standby));
const log = kubectl('-n', namespace, 'logs', standby.to.pod, '-c', 'database', '--since=60s');
report('what its log says of it', [
  ...new Set(
    log
      .split('\n')
      .filter(line => /slot "move"|"move" already/.test(line))
      .map(line => line.replace(/^.*?(ERROR|LOG|DETAIL|WARNING|HINT): +/, '$1: ')),
  ),
]);
report(
  'dropping the leftover',
  await outcome(() => standby.client.query(`SELECT pg_drop_replication_slot('move')`)),
);
report('slot is synced again', await untilSynced());

await write();
await switchover();
await write();
report('back: reading on', await outcome(consume));
const expected = Array.from({ length: next - 1 }, (_, index) => index + 1);
report('rows written', expected.length);
report(
  'rows missing',
  expected.filter(id => !received.includes(id)),
);
report(
  'rows seen twice',
  received.filter((id, index) => received.indexOf(id) !== index),
);
await standby.client.query(`SELECT pg_drop_replication_slot('move')`).catch(() => undefined);

const own = (member: Member) => member.to.pod.replaceAll('-', '_');
report(
  'physical slots on the primary',
  (
    await primary.client.query(
      `SELECT slot_name, active FROM pg_replication_slots WHERE slot_type = 'physical'`,
    )
  ).rows,
);
for (const [what, value] of [
  ['the standby only', own(standby)],
  ['both members', `${own(primary)},${own(standby)}`],
] as const) {
  await setting(value);
  await primary.client.query(`SET statement_timeout = '3s'`);
  await write();
  const start = performance.now();
  report(`synchronized_standby_slots = ${what}: reading`, await outcome(consume));
  report(`synchronized_standby_slots = ${what}: ms`, Math.round(performance.now() - start));
  await primary.client.query(`RESET statement_timeout`);
}
await setting(null);
await primary.client.query(`SELECT pg_drop_replication_slot('move'); DROP TABLE moved`);
process.exit(0);

/** Writes and reads on until the standby has the slot too. */
function untilSynced() {
  return until(
    result => result === 'ok',
    async () => {
      await write();
      await consume();
      await synced(standby);
    },
  );
}
