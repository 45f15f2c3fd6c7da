/** Brings a local image to where the cluster's nodes find it. */
import type { Cluster } from '#hack/cluster/ensure.ts';
import { nodeContainers } from '#hack/cluster/kind-cluster.ts';
import { step } from '#hack/progress.ts';
import { run, tryRun } from '#hack/run.ts';
import { SetupError } from '#hack/setup-error.ts';

/** Contexts whose node shares the local engine's images. */
const sharedEngines: ReadonlySet<string> = new Set([
  'docker-desktop',
  'rancher-desktop',
  'orbstack',
  'colima',
]);

/** The registry to push to, for a cluster that is not local: a host with an optional path. */
export const imageRegistry = process.env['IMAGE_REGISTRY'];

export async function loadImage(reference: string, cluster: Cluster): Promise<void> {
  if (cluster.kind) return loadIntoNodes(reference);
  if (imageRegistry) {
    await step(`push ${reference}`, () => run('docker', ['push', reference]));
    return;
  }
  if (sharedEngines.has(cluster.name)) return;
  throw new SetupError(
    'CannotLoadImages',
    `the cluster of context ${cluster.name} cannot see images of the local Docker engine`,
    'set IMAGE_REGISTRY to a registry that you may push to and the cluster may pull from, e.g. registry.example.com/team',
  );
}

/** Straight into each worker's containerd; nodes that have the image are left alone. The control plane runs no pod of ours. */
async function loadIntoNodes(reference: string): Promise<void> {
  const name = `docker.io/${reference}`;
  const nodes = (await nodeContainers())
    .map(node => node.name)
    .filter(node => !node.endsWith('-control-plane'));
  const present = await Promise.all(
    nodes.map(async node => {
      const listed = await tryRun('docker', [
        'exec',
        node,
        'ctr',
        '--namespace=k8s.io',
        'images',
        'list',
        '--quiet',
        `name==${name}`,
      ]);
      return listed.stdout.trim() === name;
    }),
  );
  const missing = nodes.filter((_, index) => !present[index]);
  if (missing.length === 0) return;
  await step(`load ${reference} into ${missing.length} nodes`, async () => {
    for (const node of missing) {
      await run(
        'docker',
        ['exec', '--interactive', node, 'ctr', '--namespace=k8s.io', 'images', 'import', '-'],
        {
          from: ['docker', 'save', reference],
        },
      );
    }
  });
}
