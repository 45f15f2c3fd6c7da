/**
 * What a run that was killed left on the cluster: its fleets would go on running beside those of the next run. Each
 * namespace names the run that made it, so that runs side by side leave each other alone.
 */
import { readFile } from 'node:fs/promises';
import { Namespaces } from '#kernel/resources.ts';
import type { TestCluster } from './cluster.ts';
import { ShardClusters } from './resources.ts';

export const runLabel = 'shardwright.io/test-run';

const variable = 'SHARDWRIGHT_TEST_RUN';

/** Of this run: the boot and the process that began it, handed on to its workers through the environment. */
export async function thisRun(): Promise<string> {
  process.env[variable] ??= `${await bootId()}.${process.pid}`;
  return process.env[variable];
}

/** Deletes the namespaces of runs that have ended, without waiting for their end. Returns their names. */
export async function clearLeftovers({ kube }: TestCluster): Promise<readonly string[]> {
  const boot = await bootId();
  const { items } = await kube.list(Namespaces, { labelSelector: runLabel });
  const left = items.filter(({ metadata }) => !isAlive(metadata.labels?.[runLabel] ?? '', boot));
  for (const { metadata } of left) {
    const fleets = await kube.list(ShardClusters, { namespace: metadata.name });
    for (const fleet of fleets.items) {
      const body = { spec: { deletionPolicy: 'Delete' } };
      await kube.patch(
        ShardClusters,
        { namespace: metadata.name, name: fleet.metadata.name },
        { type: 'merge', body },
      );
    }
    await kube.delete(Namespaces, { name: metadata.name });
  }
  return left.map(({ metadata }) => metadata.name);
}

function isAlive(run: string, boot: string): boolean {
  const [of, pid] = run.split('.');
  if (of !== boot) return false;
  try {
    process.kill(Number(pid), 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Linux names each boot; elsewhere process numbers alone must do. */
async function bootId(): Promise<string> {
  const id = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'unknown');
  return id.trim();
}
