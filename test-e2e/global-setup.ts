/** Global set-up of the end-to-end tests: the cluster is up and runs the operator of this work tree. */
import type { TestProject } from 'vitest/node';
import { ensureDeployed } from '#hack/deploy.ts';

export async function setup(project: TestProject): Promise<void> {
  const { cluster } = await ensureDeployed();
  // For programs that tests start; the tests themselves ask for `cluster`.
  process.env['KUBECONFIG'] = cluster.kubeconfig;
  project.provide('cluster', cluster);
}
