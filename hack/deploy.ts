/** Installs or upgrades the operator from the chart in this work tree, with the images of this work tree. */
import { join } from 'node:path';
import { type Cluster, ensureCluster } from '#hack/cluster/ensure.ts';
import { ensureImages, type Images } from '#hack/images/build.ts';
import { withLock } from '#hack/lock.ts';
import { repoDir } from '#hack/paths.ts';
import { main, step } from '#hack/progress.ts';
import { run } from '#hack/run.ts';
import { SetupError } from '#hack/setup-error.ts';
import { ensureTool } from '#hack/tools.ts';

export const operatorNamespace = 'shardwright-system';
const release = 'shardwright';
const availableWithin = '180s';

export interface Deployed {
  readonly cluster: Cluster;
  readonly images: Images;
}

/** The operator of this work tree runs in the cluster and is Available; a second or two when it already does. */
export async function ensureDeployed(): Promise<Deployed> {
  const cluster = await ensureCluster();
  const images = await ensureImages(cluster);
  const helm = await ensureTool('helm');
  await withLock('deploy', () =>
    step('install the operator', async () => {
      await run(helm, [
        'upgrade',
        '--install',
        release,
        join(repoDir, 'charts/shardwright'),
        `--kubeconfig=${cluster.kubeconfig}`,
        `--namespace=${operatorNamespace}`,
        '--create-namespace',
        ...imageValues('image', images.operator),
        ...imageValues('postgres.image', images.postgres),
      ]);
      await awaitAvailable(cluster);
    }),
  );
  return { cluster, images };
}

function imageValues(prefix: string, reference: string): string[] {
  const colon = reference.lastIndexOf(':');
  return [
    `--set-string=${prefix}.repository=${reference.slice(0, colon)}`,
    `--set-string=${prefix}.tag=${reference.slice(colon + 1)}`,
  ];
}

async function awaitAvailable(cluster: Cluster): Promise<void> {
  const kubectl = await ensureTool('kubectl');
  const scope = [`--kubeconfig=${cluster.kubeconfig}`, `--namespace=${operatorNamespace}`];
  try {
    await run(kubectl, [...scope, 'rollout', 'status', 'deployment', `--timeout=${availableWithin}`]);
  } catch (cause) {
    // What the pods say goes to the step's log, whose end is shown.
    await run(kubectl, [...scope, 'get', 'pods', '--output=wide']).catch(() => undefined);
    await run(kubectl, [...scope, 'logs', `--selector=app.kubernetes.io/name=${release}`, '--tail=20']).catch(
      () => undefined,
    );
    throw new SetupError(
      'ClusterFailed',
      `the operator is not Available after ${availableWithin}`,
      `kubectl --kubeconfig ${cluster.kubeconfig} -n ${operatorNamespace} describe pods`,
      { cause },
    );
  }
}

if (import.meta.main) await main(async () => void (await ensureDeployed()));
