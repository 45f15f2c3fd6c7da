/** The project's kind cluster: made, found again, brought back, replaced, removed. */
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { kindConfig } from '#hack/cluster/kind-config.ts';
import { awaitHealth } from '#hack/cluster/nodes.ts';
import { writeAtomically } from '#hack/once.ts';
import { cacheDir, clusterName, kubeconfigPath } from '#hack/paths.ts';
import { say, step } from '#hack/progress.ts';
import { run, tryRun } from '#hack/run.ts';
import { SetupError } from '#hack/setup-error.ts';
import { ensureTool } from '#hack/tools.ts';

const wantedWatchInstances = 1024;

interface NodeContainer {
  readonly name: string;
  readonly state: string;
}

/** Names of the containers that are the cluster's nodes. */
export async function nodeContainers(): Promise<NodeContainer[]> {
  const listed = await run('docker', [
    'ps',
    '--all',
    `--filter=label=io.x-k8s.kind.cluster=${clusterName}`,
    '--format={{.Names}} {{.State}}',
  ]);
  return listed
    .split('\n')
    .filter(line => line !== '')
    .map(line => {
      const [name = '', state = ''] = line.split(' ');
      return { name, state };
    });
}

/**
 * True when the cluster that is there is usable, if need be after a moment. Nodes that were left paused go on; a cluster
 * whose nodes were stopped, by a boot of this machine say, gets other addresses than its certificates tell: it is not.
 */
export async function recoverCluster(): Promise<boolean> {
  const nodes = await nodeContainers();
  if (nodes.length === 0) return false;
  return step(`look at the cluster ${clusterName} that is here`, async () => {
    if (nodes.some(node => node.state !== 'running' && node.state !== 'paused')) return false;
    for (const node of nodes) if (node.state === 'paused') await run('docker', ['unpause', node.name]);
    const kind = await ensureTool('kind');
    const config = await tryRun(kind, ['get', 'kubeconfig', `--name=${clusterName}`]);
    if (config.code !== 0) return false;
    await writeAtomically(kubeconfigPath, config.stdout, 0o600);
    return (await awaitHealth(kubeconfigPath, { silentMs: 20_000, startingMs: 90_000 })) === 'ready';
  });
}

/** Removes the cluster and its nodes' volumes; nothing happens when there is none. */
export async function removeCluster(): Promise<void> {
  const nodes = await nodeContainers();
  if (nodes.length > 0) {
    await step(`remove the cluster ${clusterName}`, () =>
      run('docker', ['rm', '--force', '--volumes', ...nodes.map(node => node.name)]),
    );
  }
  await rm(kubeconfigPath, { force: true });
}

export async function createCluster(nodeImage: string): Promise<void> {
  if ((await nodeContainers()).length > 0) {
    say(`the cluster ${clusterName} is left over from an earlier boot or other settings: replacing it`);
    await removeCluster();
  }
  await step(`create the cluster ${clusterName}: three nodes, two regions`, async () => {
    const kind = await ensureTool('kind');
    await raiseWatchLimits();
    await mkdir(dirname(kubeconfigPath), { recursive: true });
    const scratch = await mkdtemp(join(cacheDir, 'creating-'));
    try {
      const config = join(scratch, 'kind.json');
      const kubeconfig = join(scratch, 'kubeconfig');
      await writeFile(config, JSON.stringify(kindConfig()));
      const made = await tryRun(kind, [
        'create',
        'cluster',
        `--name=${clusterName}`,
        `--config=${config}`,
        `--image=${nodeImage}`,
        `--kubeconfig=${kubeconfig}`,
        '--wait=180s',
      ]);
      if (made.code !== 0) throw creationFailed(made.stderr);
      const health = await awaitHealth(kubeconfig, { silentMs: 30_000, startingMs: 300_000 });
      if (health !== 'ready')
        throw creationFailed(`its nodes do not become ready; the last state was: ${health}`);
      await rename(kubeconfig, kubeconfigPath);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  });
}

/**
 * Every node's programs watch files, some 20 instances a node, all counted against one user of this machine; the usual
 * limit of 128 makes kubelets of a second cluster fail in odd ways. Only root can raise it; elsewhere it stays.
 */
async function raiseWatchLimits(): Promise<void> {
  const path = '/proc/sys/fs/inotify/max_user_instances';
  const limit = await readFile(path, 'utf8').catch(() => undefined);
  if (limit !== undefined && Number(limit) < wantedWatchInstances)
    await writeFile(path, String(wantedWatchInstances)).catch(() => undefined);
}

function creationFailed(output: string): SetupError {
  if (/port is already allocated|address already in use/.test(output)) {
    return new SetupError(
      'PortInUse',
      'a port that the cluster needs is taken by another program',
      'end the program that the lines above name, or run `make clean` to remove clusters of earlier runs',
    );
  }
  return new SetupError(
    'ClusterFailed',
    `kind could not create the cluster ${clusterName}: ${output.trim().split('\n').slice(-5).join('\n')}`,
    'read the log that is named above; `make clean` removes what was left, and the next run starts anew',
  );
}
