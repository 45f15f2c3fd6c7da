/**
 * The cluster that demo and end-to-end tests run on: found, or made, and left running.
 *
 *   CLUSTER=current            the current context of the user's kubeconfig, untouched
 *   an engine that can pull    kind with public images
 *   otherwise                  kind with a node image made from package registries alone
 */
import { join } from 'node:path';
import { ensureDebianImage } from '#hack/cluster/debian.ts';
import { engineAnswers, enginePulls, ensureEngine } from '#hack/cluster/docker.ts';
import { createCluster, recoverCluster } from '#hack/cluster/kind-cluster.ts';
import { ensureNodeImage } from '#hack/cluster/node-image.ts';
import { clusterHealth } from '#hack/cluster/nodes.ts';
import { withLock } from '#hack/lock.ts';
import { writeAtomically } from '#hack/once.ts';
import { cacheDir, clusterName, kubeconfigPath } from '#hack/paths.ts';
import { say, step } from '#hack/progress.ts';
import { tryRun } from '#hack/run.ts';
import { SetupError } from '#hack/setup-error.ts';
import { ensureTool } from '#hack/tools.ts';
import { publicNodeImage } from '#hack/versions.ts';

export interface Cluster {
  /** Absolute path of a kubeconfig whose current context is the cluster. Never a file of the user's own. */
  readonly kubeconfig: string;
  /** True when the cluster is the project's own kind cluster, whose nodes are containers named `<name>-worker`, ... */
  readonly kind: boolean;
  /** kind's name of it, or the name of the current context when `kind` is false. */
  readonly name: string;
}

const ours: Cluster = { kubeconfig: kubeconfigPath, kind: true, name: clusterName };

/** Quick (about a second) when the cluster is already up and healthy. */
export async function ensureCluster(): Promise<Cluster> {
  if (process.env['CLUSTER'] === 'current') return currentCluster();
  if ((await quickHealth()) === 'ready') return ours;
  await withLock(`cluster-${clusterName}`, async () => {
    if ((await quickHealth()) === 'ready') return;
    const source = await imageSource();
    if (await recoverCluster()) return;
    await createCluster(source === 'public' ? publicNodeImage : await ensureNodeImage());
  });
  say(`the cluster is up; to look at it: export KUBECONFIG=${kubeconfigPath}`);
  return ours;
}

async function quickHealth(): Promise<string> {
  const exists = await tryRun('test', ['-s', kubeconfigPath]);
  return exists.code === 0 ? clusterHealth(kubeconfigPath) : 'silent';
}

/** Where images come from: SHARDWRIGHT_IMAGES=public or =packages says so, else the engine is tried. */
export async function imageSource(): Promise<'public' | 'packages'> {
  const asked = process.env['SHARDWRIGHT_IMAGES'];
  if (asked === 'public' || asked === 'packages') {
    await ensureEngine();
    return asked;
  }
  const pulls = await step('look for a Docker engine that can pull images', async () => {
    return (await engineAnswers()) && (await enginePulls());
  });
  if (pulls) return 'public';
  say('no image can be pulled: everything is made from package registries');
  await ensureEngine();
  return 'packages';
}

/** Before an image is built: its base is there, or can be pulled. */
export async function ensureBaseImage(): Promise<void> {
  if ((await imageSource()) === 'packages') await ensureDebianImage();
}

/** A copy of the current context alone: no later `kubectl config use-context` sends a test to another cluster. */
async function currentCluster(): Promise<Cluster> {
  const kubectl = await ensureTool('kubectl');
  const view = await tryRun(kubectl, ['config', 'view', '--minify', '--flatten', '--raw']);
  const context = await tryRun(kubectl, ['config', 'current-context']);
  const kubeconfig = join(cacheDir, 'kubeconfig-current');
  if (view.code === 0 && context.code === 0) {
    await writeAtomically(kubeconfig, view.stdout, 0o600);
    const nodes = await tryRun(kubectl, [
      `--kubeconfig=${kubeconfig}`,
      'get',
      'nodes',
      '--request-timeout=10s',
    ]);
    if (nodes.code === 0) return { kubeconfig, kind: false, name: context.stdout.trim() };
  }
  throw new SetupError(
    'ClusterFailed',
    `CLUSTER=current, but the current context does not answer: ${(view.stderr || context.stderr).trim()}`,
    'see that `kubectl get nodes` works, or leave CLUSTER unset to have a local cluster made',
  );
}
