/** The faults and the phases that they are done in, as a table; and which of its cells a run takes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type MigrationStep, migrationStep } from '#crds/api/migration/status.ts';
import { labels } from '#crds/api/names.ts';
import { Pods } from '#kernel/resources.ts';
import { killFirstProcess, killOperator, stopApiServer, switchover } from '#test-e2e/support/faults.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';
import { cutBetween, fillVolume } from '#test-e2e/support/pod-faults.ts';

export interface Shards {
  readonly source: string;
  readonly target: string;
}

type Inflict = (namespace: TestNamespace, shards: Shards) => Promise<void>;

async function killDatabase(namespace: TestNamespace, pod: string): Promise<void> {
  const { cluster, name } = namespace;
  await killFirstProcess(cluster, { namespace: name, name: pod, container: 'database' });
}

async function replicaOf(namespace: TestNamespace, shard: string): Promise<string> {
  const primary = await namespace.primaryOf(shard);
  const pods = await namespace.list(Pods, `${labels.shard}=${shard}`);
  const replica = pods.map(({ metadata }) => metadata.name).find(name => name !== primary);
  if (replica === undefined) throw new Error(`${shard} has no replica`);
  return replica;
}

/** Each resolves when the fault is over, or when nothing more needs to be undone. */
export const faults = {
  'operator killed': namespace => killOperator(namespace),
  'source primary killed': async (namespace, { source }) =>
    killDatabase(namespace, await namespace.primaryOf(source)),
  'target primary killed': async (namespace, { target }) =>
    killDatabase(namespace, await namespace.primaryOf(target)),
  'replica killed': async (namespace, { source }) =>
    killDatabase(namespace, await replicaOf(namespace, source)),
  'connection cut': async (namespace, { source, target }) => {
    const cut = await cutBetween(namespace, source, target);
    await sleep(15_000);
    await cut.undo();
  },
  'API server stopped': async namespace => {
    const stopped = await stopApiServer(namespace.cluster);
    await sleep(30_000);
    await stopped.undo();
  },
  'target disk full': async (namespace, { target }) => {
    const filled = await fillVolume(namespace, await namespace.primaryOf(target));
    await sleep(15_000);
    await filled.undo();
  },
  'source switched over': (namespace, { source }) => switchover(namespace, source),
  'target switched over': (namespace, { target }) => switchover(namespace, target),
} as const satisfies Readonly<Record<string, Inflict>>;

export type FaultName = keyof typeof faults;
/** `paced`: the copier copies by ranges, as `spec.pace` says, and is at it when the fault comes. */
export type Cell = readonly [fault: FaultName, phase: MigrationStep, how?: 'paced'];

/** Every fault, every phase, and the fence under all that can hit it hardest: what every run of the tests takes. */
const cover: readonly Cell[] = [
  ['target switched over', 'SetupReplication'],
  ['target disk full', 'BulkCopy'],
  ['source primary killed', 'BulkCopy', 'paced'],
  ['connection cut', 'SyncChanges'],
  ['replica killed', 'SwitchReads'],
  ['operator killed', 'SwitchWrites'],
  ['source primary killed', 'SwitchWrites'],
  ['API server stopped', 'SwitchWrites'],
  ['target primary killed', 'VerifyAndCleanup'],
  ['source switched over', 'VerifyAndCleanup'],
];

/**
 * The cells of a run: a covering part, `all` of them, or those whose name contains the text: `disk full`,
 * `operator killed in SwitchWrites`, `paced`.
 */
export function cellsOf(matrix: string | undefined): readonly Cell[] {
  if (matrix === undefined || matrix === 'part') return cover;
  const names = Object.keys(faults).filter((name): name is FaultName => name in faults);
  const all = migrationStep.options.flatMap(phase => names.map((name): Cell => [name, phase]));
  all.push(...names.map((name): Cell => [name, 'BulkCopy', 'paced']));
  const found = matrix === 'all' ? all : all.filter(cell => nameOfCell(cell).includes(matrix));
  if (found.length === 0) throw new Error(`no cell of the matrix is called ${JSON.stringify(matrix)}`);
  return found;
}

export function nameOfCell([fault, phase, how]: Cell): string {
  return `${fault} in ${phase}${how === undefined ? '' : `, ${how}`}`;
}
