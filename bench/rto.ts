/**
 * A drill of a shard of a gigabyte or more: how long until it is restored from the object store alone and answers. Beside it the least
 * that this can take: copying the backup's objects, as they are stored, out of the same store to the same kind of volume, and starting
 * PostgreSQL on a finished data directory. In turns in one run, so that both see the same machine; medians count. What is
 * stored does not compress, so that what is copied is as long as what is restored.
 *
 *   seconds       status.backup.drill.last.rtoSeconds: from the Job's creation until the restored shard answered
 *   steps         of these: Start (a pod with a volume), Fetch, Recover
 *   floorSeconds  copy and start, in a pod that runs already
 *   ratio         the median of the turns' ratios; ratioOfRestore: the same without the step Start
 */
import { ensureDeployed } from '#hack/deploy.ts';
import { ensureObjectStoreImage } from '#hack/images/build.ts';
import { backupOf, drillNow, policy } from '#test-e2e/backup/policy.ts';
import { useCluster } from '#test-e2e/support/cluster.ts';
import { hasCondition } from '#test-e2e/support/conditions.ts';
import { fleet, schema, single } from '#test-e2e/support/fleet.ts';
import { clearNamespace, createNamespace } from '#test-e2e/support/lifecycle.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';
import { startObjectStore } from '#test-e2e/support/object-store.ts';
import { BackupPolicies } from '#test-e2e/support/resources.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';
import { median, report, round } from './bench.ts';
import { copyAndStart, type Floor, startFloorPod } from './rto-floor.ts';

const rounds = Number(process.env['BENCH_ROUNDS'] ?? 3);
/** Some 330 bytes each, with their index. */
const rows = Number(process.env['BENCH_ROWS'] ?? 3_600_000);
const shard = 'fleet-0';
const volume = '6Gi';
const aWhile = { deadlineMs: 1_200_000 };

const tables = schema('schema', {
  '01.sql': 'CREATE TABLE ballast (id bigint PRIMARY KEY, body bytea NOT NULL)',
});

/** Nothing compresses a hash. */
const fill = `INSERT INTO ballast SELECT n, sha512(('a' || n)::bytea) || sha512(('b' || n)::bytea) ||
  sha512(('c' || n)::bytea) || sha512(('d' || n)::bytea) FROM generate_series(1, ${rows}) AS n`;

interface Turn extends Floor {
  readonly bytes: number;
  readonly seconds: number;
  readonly steps: Readonly<Record<string, number>>;
}

export async function run(): Promise<object> {
  const { cluster } = await ensureDeployed();
  const { kube } = await useCluster(cluster);
  const image = await ensureObjectStoreImage(cluster);
  const namespace = await createNamespace('bench-rto');
  try {
    await makeShard(namespace);
    const store = await startObjectStore(namespace, { image, volume });
    await namespace.apply(policy(store, { objectives: { rpo: '60s', rto: '30m' } }));
    report(`backing ${shard} up`);
    await namespace.until(BackupPolicies, 'nightly', hasCondition('Ready', 'True'), aWhile);
    const { lastFull } = await backupOf(namespace, shard);
    if (!lastFull) throw new Error(`${shard} has no full backup`);
    await startFloorPod(namespace, { shard, volume });
    const turns: Turn[] = [];
    for (let turn = 1; turn <= rounds; turn++) {
      const floor = await copyAndStart(namespace, shard, lastFull.label);
      turns.push({ ...floor, ...(await drill(namespace)) });
      report(`${turn}/${rounds}: ${JSON.stringify(turns.at(-1))}`);
    }
    return figures(turns);
  } finally {
    await clearNamespace(namespace);
    kube.close();
  }
}

/** Filled before it is archived: the log of that is nobody's. */
async function makeShard(namespace: TestNamespace): Promise<void> {
  await namespace.apply(tables);
  await namespace.apply(
    fleet({
      ...single,
      shards: 1,
      storage: { size: volume },
      engine: { parameters: { shared_buffers: '128MB' } },
      schema: { configMaps: [{ name: 'schema' }] },
      sharding: { tables: [{ name: 'ballast', key: 'id' }] },
    }),
  );
  await namespace.current();
  report(`filling ${shard} with ${rows} rows`);
  const primary = await namespace.primaryOf(shard);
  for (const sql of [fill, 'VACUUM (ANALYZE, FREEZE) ballast', 'CHECKPOINT'])
    await superuserSql(namespace, primary, sql);
}

async function drill(namespace: TestNamespace): Promise<Pick<Turn, 'bytes' | 'seconds' | 'steps'>> {
  const { passed, failure, bytes, rtoSeconds, steps } = await drillNow(namespace, shard);
  if (!passed || bytes === undefined || rtoSeconds === undefined)
    throw new Error(`the drill failed: ${failure}`);
  return {
    bytes,
    seconds: rtoSeconds,
    steps: Object.fromEntries(steps.map(step => [step.name, step.seconds])),
  };
}

function figures(turns: readonly Turn[]): object {
  const of = (value: (turn: Turn) => number): number => round(median(turns.map(value)));
  const step = (name: string): number => of(({ steps }) => steps[name] ?? Number.NaN);
  const floorOf = ({ copySeconds, startSeconds }: Turn): number => copySeconds + startSeconds;
  return {
    bench: 'rto',
    bytes: of(({ bytes }) => bytes),
    storedBytes: of(({ copiedBytes }) => copiedBytes),
    seconds: of(({ seconds }) => seconds),
    steps: { start: step('Start'), fetch: step('Fetch'), recover: step('Recover') },
    checkSeconds: step('Check'),
    floorSeconds: of(floorOf),
    floor: { copy: of(turn => turn.copySeconds), start: of(turn => turn.startSeconds) },
    ratio: of(turn => turn.seconds / floorOf(turn)),
    ratioOfRestore: of(turn => (turn.seconds - (turn.steps['Start'] ?? 0)) / floorOf(turn)),
  };
}
