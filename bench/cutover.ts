/**
 * What an application notices when slots move: ten moves and ten rollbacks between two shards while it writes through the client
 * library, and reads counts and sums over all shards.
 *
 *   stallMs      per move, the longest time that a call waited beyond the usual of its kind, of the calls that were under way
 *                around the change of writers: from the first lock until half a second after the client knew the new owner
 *   besideMs     the same of stretches of 650 ms of these moves that lie outside of that: what the machine, busy with load and copy,
 *                makes a call wait without any change of writers
 *   anyWaitMs    the same over the whole of each move and rollback, its set-up and clean-up included: what else runs on the
 *                machine is in it too
 *   fenceMs      what the operator measured: from the first lock until the map was published
 *   retriedMs    duration of the calls that the client library repeated
 *   lost, duplicated, scatterMismatches   by what was acknowledged, read back when all is over
 */
import { ensureDeployed } from '#hack/deploy.ts';
import { forLoad, loadSchemaOf, startLoad, wrongs } from '#test-e2e/load/deploy.ts';
import { percentile, stallBetween } from '#test-e2e/load/latency.ts';
import type { LoadRecord } from '#test-e2e/load/records.ts';
import { useCluster } from '#test-e2e/support/cluster.ts';
import { fleet } from '#test-e2e/support/fleet.ts';
import { clearNamespace, createNamespace } from '#test-e2e/support/lifecycle.ts';
import { endedAs, eventsOf, migration, patchMigration, reached } from '#test-e2e/support/migrations.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';
import type { ShardMigrationObject } from '#test-e2e/support/resources.ts';
import { report, round } from './bench.ts';

/** Moves; each is rolled back. */
const rounds = Number(process.env['BENCH_ROUNDS'] ?? 10);
const members = Number(process.env['BENCH_MEMBERS'] ?? 2);
/** A fifth of what the writers do are looks at what they wrote: more than 200 writes a second remain. */
const callsPerSecond = Number(process.env['BENCH_CALLS'] ?? 275);
const writers = 12;
/** As long as a usual change of writers, with what is counted around it. */
const stretchMs = 650;

interface Move {
  readonly name: string;
  /** Of the whole move, by the clock of this machine, which is the nodes' too. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Of the map that names the new owner of writes. */
  readonly epoch: number;
  readonly fenceMs: number;
}

export async function run(): Promise<object> {
  const { cluster } = await ensureDeployed();
  const { kube } = await useCluster(cluster);
  const namespace = await createNamespace('bench-cutover');
  try {
    await namespace.apply(loadSchemaOf());
    await namespace.apply(
      fleet({
        ...forLoad,
        shards: 2,
        members,
        consistency: members > 1 ? 'strong' : 'eventual',
        pooler: { poolSize: 10 },
      }),
    );
    await namespace.current('fleet', { deadlineMs: 300_000 });
    const load = await startLoad(namespace, {
      shape: { owners: 600 },
      writers,
      writesPerSecond: callsPerSecond,
      passesPerSecond: 4,
      replicas: members > 1,
      durationMs: 3_600_000,
      slowestPerSecond: 5,
    });
    const startedMs = Date.now();
    const moves: Move[] = [];
    // A few seconds of the ordinary, which waits are compared with.
    await new Promise(resolve => setTimeout(resolve, 10_000));
    for (let turn = 1; turn <= rounds; turn++) {
      moves.push(...(await thereAndBack(namespace, turn)));
      report(
        `${turn}/${rounds}: fences of ${moves
          .slice(-2)
          .map(({ fenceMs }) => fenceMs)
          .join(' and ')} ms`,
      );
    }
    const seconds = (Date.now() - startedMs) / 1000;
    const finished = await load.finish();
    for (const wrong of wrongs(finished).slice(0, 20)) report(wrong);
    const { report: told, records } = finished;
    for (const [message, count] of told.errors) report(`${count}x ${message}`);
    const calls = records.filter(record => record.type === 'call');
    const stalls = moves.map(move => ({ ...move, ...stallsOf(move, records, told.usual) }));
    for (const { name, stallMs, anyWaitMs, fenceMs } of stalls) {
      report(
        `${name}: a call waited ${round(stallMs, 1)} ms at the change, ${round(anyWaitMs, 1)} ms at most; fence ${fenceMs} ms`,
      );
    }
    return {
      bench: 'cutover',
      moves: moves.length,
      members,
      writesPerSecond: round(told.acknowledged / seconds, 1),
      usualMs: { p50: told.writes.p50, p99: told.writes.p99 },
      stallMs: summary(stalls.map(({ stallMs }) => stallMs)),
      besideMs: summary(stalls.flatMap(({ besideMs }) => besideMs)),
      anyWaitMs: summary(stalls.map(({ anyWaitMs }) => anyWaitMs)),
      fenceMs: summary(moves.map(({ fenceMs }) => fenceMs)),
      retriedMs: summary(calls.filter(({ retries }) => retries > 0).map(({ tookMs }) => tookMs)),
      retried: told.retried,
      failed: told.failed,
      unknown: told.unknown,
      lost: told.lost.length + told.torn.length,
      duplicated: told.doubled.length,
      scatterMismatches: told.passes.wrong,
      ownReadMismatches: told.wrongOwn,
      scatters: told.passes.right + told.passes.wrong,
    };
  } finally {
    await clearNamespace(namespace);
    kube.close();
  }
}

async function thereAndBack(namespace: TestNamespace, turn: number): Promise<readonly Move[]> {
  const name = `move-${turn}`;
  const [from, to] = turn % 2 === 1 ? ['fleet-0', 'fleet-1'] : ['fleet-1', 'fleet-0'];
  const slots = {
    from,
    to,
    ranges: [from === 'fleet-0' ? { first: 0, last: 4095 } : { first: 8192, last: 12_287 }],
  };
  const fromMs = Date.now();
  await namespace.apply(migration(name, { slots, rollbackWindow: '1h' }));
  const there = await reached(namespace, name, 'VerifyAndCleanup');
  await new Promise(resolve => setTimeout(resolve, 2000));
  const turnedMs = Date.now();
  await patchMigration(namespace, name, { abort: true });
  const back = await endedAs(namespace, name, 'RolledBack');
  return [
    await moveOf(namespace, there, { name, fromMs, toMs: turnedMs }, 0),
    await moveOf(namespace, back, { name: `${name} back`, fromMs: turnedMs, toMs: Date.now() }, 1),
  ];
}

async function moveOf(
  namespace: TestNamespace,
  { metadata, status }: ShardMigrationObject,
  times: Pick<Move, 'name' | 'fromMs' | 'toMs'>,
  /** Which change of writers of the migration it was. */
  nth: number,
): Promise<Move> {
  const epoch = status?.cutover?.epoch;
  const events = await eventsOf(namespace, metadata.name);
  const waits = events.flatMap(event => /^WritesSwitched: .*waited (\d+) ms/.exec(event)?.[1] ?? []);
  const fenceMs = Number(waits[nth] ?? status?.cutover?.writeStallMs);
  if (epoch === undefined || Number.isNaN(fenceMs))
    throw new Error(`${times.name} says nothing of its cutover`);
  return { ...times, epoch, fenceMs };
}

function stallsOf(move: Move, records: readonly LoadRecord[], usual: Parameters<typeof stallBetween>[1]) {
  const calls = records.filter(record => record.type === 'call');
  const known = records.find(record => record.type === 'map' && record.epoch >= move.epoch);
  if (known?.type !== 'map') throw new Error(`the load never learned of ${move.name}`);
  const change: Stretch = [known.atMs - move.fenceMs - 50, known.atMs + 500];
  const wait = ([fromMs, toMs]: Stretch): number => stallBetween(calls, usual, fromMs, toMs);
  return {
    stallMs: wait(change),
    besideMs: stretchesBeside(move, change).map(wait),
    anyWaitMs: wait([move.fromMs, move.toMs]),
  };
}

type Stretch = readonly [fromMs: number, toMs: number];

/** None shares a call with the change of writers, unless it waited for longer than a stretch. */
function stretchesBeside({ fromMs, toMs }: Move, change: Stretch): readonly Stretch[] {
  const count = Math.floor((toMs - fromMs) / stretchMs);
  return Array.from({ length: count }, (_, n): Stretch => {
    const beginMs = fromMs + n * stretchMs;
    return [beginMs, beginMs + stretchMs];
  }).filter(([beginMs, endMs]) => endMs < change[0] - stretchMs || beginMs > change[1] + stretchMs);
}

function summary(values: readonly number[]): Readonly<Record<'p50' | 'p99' | 'max', number>> {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (of: number): number => round(percentile(sorted, of), 1);
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}
