/** Global set-up of the end-to-end tests: the cluster is up and runs the operator of this work tree. */
import type { TestProject } from 'vitest/node';
import { ensureDeployed } from '#hack/deploy.ts';
import { ensureObjectStoreImage } from '#hack/images/build.ts';
import { say } from '#hack/progress.ts';
import { useCluster } from './support/cluster.ts';
import { clearLeftovers, thisRun } from './support/leftovers.ts';

export async function setup(project: TestProject): Promise<void> {
  const { cluster } = await ensureDeployed();
  // For programs that tests start; the tests themselves ask for `cluster`.
  process.env['KUBECONFIG'] = cluster.kubeconfig;
  await thisRun();
  const left = await clearLeftovers(await useCluster(cluster));
  if (left.length > 0) say(`cleared away what an earlier run left: ${left.join(', ')}`);
  project.provide('cluster', cluster);
  project.provide('objectStoreImage', await ensureObjectStoreImage(cluster));
}
