/**
 * The first copy of a migration beside the fastest that PostgreSQL's own tools do: five million rows from one shard to another,
 * and `COPY (SELECT ... WHERE what moves) TO STDOUT` piped into `COPY ... FROM STDIN` between the same pods, over TLS too, into a
 * table with the same columns and indexes. In turns in one run, so that both see the same machine; medians count.
 *
 *   rowsPerSecond       rows over the time that the phase BulkCopy took, by the ShardMigration's status
 *   floorRowsPerSecond  rows over the time of the pipe
 *   ratio               the median of the turns' ratios
 */
import { ensureDeployed } from '#hack/deploy.ts';
import { forLoad, loadSchemaOf } from '#test-e2e/load/deploy.ts';
import { useCluster } from '#test-e2e/support/cluster.ts';
import { fleet, single } from '#test-e2e/support/fleet.ts';
import { clearNamespace, createNamespace } from '#test-e2e/support/lifecycle.ts';
import { endedAs, migration, patchMigration, reached } from '#test-e2e/support/migrations.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';
import { median, report, round } from './bench.ts';

const rounds = Number(process.env['BENCH_ROUNDS'] ?? 3);
const rows = Number(process.env['BENCH_ROWS'] ?? 5_000_000);
const rowsPerOwner = 50;
/** Of 16,384: nearly all, so that a filter is at work and little is read in vain. */
const lastSlot = 14_999;
const slots = 16_384;
const [source, target] = ['fleet-0', 'fleet-1'];
const filter = `(hashint8extended(owner, 0) & ${slots - 1}) BETWEEN 0 AND ${lastSlot}`;
const copyWithin = { deadlineMs: 1_800_000 };

export async function run(): Promise<object> {
  const { cluster } = await ensureDeployed();
  const { kube } = await useCluster(cluster);
  const namespace = await createNamespace('bench-copy');
  try {
    await namespace.apply(loadSchemaOf());
    await namespace.apply(
      fleet({ ...forLoad, ...single, shards: 1, storage: { size: '4Gi' }, engine: { parameters } }),
    );
    await namespace.current();
    // The second is made empty, and the first keeps all slots.
    await namespace.kubectl('scale', 'shardcluster/fleet', '--replicas=2');
    await namespace.current();
    const moving = await fill(namespace);
    const turns: { readonly copy: number; readonly floor: number }[] = [];
    for (let turn = 1; turn <= rounds; turn++) {
      const floor = moving / (await pipeSeconds(namespace, moving));
      const copy = moving / (await copySeconds(namespace, `copy-${turn}`));
      turns.push({ copy, floor });
      report(`${turn}/${rounds}: ${Math.round(copy)} rows/s, the pipe ${Math.round(floor)} rows/s`);
    }
    return {
      bench: 'copy',
      rows: moving,
      rowsPerSecond: Math.round(median(turns.map(({ copy }) => copy))),
      floorRowsPerSecond: Math.round(median(turns.map(({ floor }) => floor))),
      ratio: round(median(turns.map(({ copy, floor }) => copy / floor))),
    };
  } finally {
    await clearNamespace(namespace);
    kube.close();
  }
}

/** Both ways write as much at once; a checkpoint in one of them would not be in the other. */
const parameters = { shared_buffers: '128MB', max_wal_size: '4GB', checkpoint_timeout: '1h' };

async function primarySql(namespace: TestNamespace, shard: string, sql: string): Promise<string> {
  return (await superuserSql(namespace, await namespace.primaryOf(shard), sql)).at(-1) ?? '';
}

/** Fills the source, which owns everything. Returns the rows that will move. */
async function fill(namespace: TestNamespace): Promise<number> {
  const owners = Math.ceil((rows / rowsPerOwner / (lastSlot + 1)) * slots);
  report(`filling ${source} with ${owners * rowsPerOwner} rows`);
  await primarySql(
    namespace,
    source,
    `INSERT INTO ballast (owner, n, body) SELECT owner, n, repeat(md5((owner * n)::text), 3)
       FROM generate_series(1, ${owners}) AS owner, generate_series(1, ${rowsPerOwner}) AS n`,
  );
  await primarySql(namespace, source, 'VACUUM (ANALYZE, FREEZE) ballast');
  return Number(await primarySql(namespace, source, `SELECT count(*) FROM ballast WHERE ${filter}`));
}

/** A checkpoint first: what an earlier turn has written must not be written out in this one's time. */
async function settle(namespace: TestNamespace): Promise<void> {
  for (const shard of [source, target]) await primarySql(namespace, shard, 'CHECKPOINT');
}

async function pipeSeconds(namespace: TestNamespace, moving: number): Promise<number> {
  await primarySql(
    namespace,
    target,
    'DROP SCHEMA IF EXISTS floor CASCADE; CREATE SCHEMA floor; CREATE TABLE floor.ballast (LIKE public.ballast INCLUDING ALL)',
  );
  await settle(namespace);
  const { superuser = '' } = await namespace.secret('fleet-internal');
  const from = `host=${source}.${namespace.name}.svc user=postgres dbname=app sslmode=require`;
  // The password comes by standard input: command lines can be seen.
  const script = `set -e -o pipefail; read -r PGPASSWORD; export PGPASSWORD
    psql -XAtq "${from}" -c "COPY (SELECT owner, n, body FROM ballast WHERE ${filter}) TO STDOUT" |
      psql -XAtq -v ON_ERROR_STOP=1 "host=/run/postgresql user=postgres dbname=app" -c "COPY floor.ballast FROM STDIN"`;
  const startedMs = performance.now();
  await namespace.cluster.kubectl(
    [
      'exec',
      '--stdin',
      `--namespace=${namespace.name}`,
      '--container=database',
      await namespace.primaryOf(target),
      '--',
      'bash',
      '-c',
      script,
    ],
    { input: `${superuser}\n` },
  );
  const seconds = (performance.now() - startedMs) / 1000;
  const copied = Number(await primarySql(namespace, target, 'SELECT count(*) FROM floor.ballast'));
  if (copied !== moving) throw new Error(`the pipe copied ${copied} rows instead of ${moving}`);
  await primarySql(namespace, target, 'DROP SCHEMA floor CASCADE');
  return seconds;
}

/** Copies, and takes it back before anything else is done. */
async function copySeconds(namespace: TestNamespace, name: string): Promise<number> {
  await settle(namespace);
  await namespace.apply(
    migration(name, {
      slots: { from: source, to: target, ranges: [{ first: 0, last: lastSlot }] },
      cutover: { mode: 'Manual' },
    }),
  );
  const { status } = await reached(namespace, name, 'SyncChanges', copyWithin);
  const phase = status?.phases?.find(({ name: each }) => each === 'BulkCopy');
  if (phase?.endTime === undefined) throw new Error(`${name} does not say how long it copied`);
  await patchMigration(namespace, name, { abort: true });
  await endedAs(namespace, name, 'Aborted', copyWithin);
  return (Date.parse(phase.endTime) - Date.parse(phase.startTime)) / 1000;
}
