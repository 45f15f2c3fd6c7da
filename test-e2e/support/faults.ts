/** What goes wrong in real clusters, done on purpose. */
import { labels } from '#crds/api/names.ts';
import { run } from '#hack/run.ts';
import { Nodes, Pods } from '#kernel/resources.ts';
import type { TestCluster } from './cluster.ts';
import type { TestNamespace } from './namespace.ts';
import { waitFor } from './wait.ts';

export const operatorPods = 'app.kubernetes.io/component=operator';

export interface Fault {
  /** Ends it, and waits until what was hit works again. */
  undo(): Promise<void>;
}

/** Freezes every process of a node, as a hanging hypervisor would. */
export async function pauseNode(cluster: TestCluster, node: string): Promise<Fault> {
  if (cluster.kindName === undefined) throw new Error('only nodes that are containers can be paused');
  await run('docker', ['pause', node]);
  return {
    async undo() {
      await run('docker', ['unpause', node]);
      await waitFor(Nodes, { name: node }, found =>
        found?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True')
          ? undefined
          : 'the node is not Ready',
      );
    },
  };
}

/** Ends the API server's process; the kubelet, which would start it again, is stopped until the fault is undone. */
export async function stopApiServer(cluster: TestCluster): Promise<Fault> {
  if (cluster.kindName === undefined) throw new Error('only an API server of ours can be stopped');
  const node = `${cluster.kindName}-control-plane`;
  await onNode(node, 'systemctl stop kubelet && pkill -KILL -x kube-apiserver');
  return {
    async undo() {
      await onNode(node, 'systemctl start kubelet');
      await untilApiServerAnswers(cluster);
    },
  };
}

async function untilApiServerAnswers(cluster: TestCluster): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await cluster.kube.raw('/readyz', { deadlineMs: 2000 });
      return;
    } catch (error) {
      if (attempt === 120) throw error;
      await new Promise(resolve => setTimeout(resolve, 1000));
    }
  }
}

/** The pod object goes at once; its processes end when the kubelet gets to it. */
export async function forceDeletePod(namespace: TestNamespace, pod: string): Promise<void> {
  await namespace.delete(Pods, pod, { gracePeriodSeconds: 0 });
}

/** SIGKILL to the first process of a container, from the node: nobody in the pod is asked. */
export async function killFirstProcess(
  cluster: TestCluster,
  pod: { readonly namespace: string; readonly name: string; readonly container: string },
): Promise<void> {
  const object = await cluster.kube.get(Pods, pod);
  const id = object.status?.containerStatuses
    ?.find(({ name }) => name === pod.container)
    ?.containerID?.replace('containerd://', '');
  const node = object.spec?.nodeName;
  if (!id || !node) throw new Error(`container ${pod.container} of ${pod.name} does not run`);
  // `ctr task kill` would signal it through the shim; this is what the kernel's out-of-memory killer does.
  await onNode(node, `kill -KILL "$(ctr --namespace k8s.io tasks list | awk '$1 == "${id}" {print $2}')"`);
}

/** All of it at once, without grace, as a node that loses power does; the Deployment makes new ones. */
export async function killOperator({ cluster, operator }: TestNamespace): Promise<void> {
  await cluster.kube.deleteCollection(
    Pods,
    { namespace: operator.namespace, labelSelector: operatorPods },
    { gracePeriodSeconds: 0 },
  );
}

/** Hands a shard's writes to another member that is fit for it, as a person would before maintenance. */
export async function switchover(namespace: TestNamespace, shard: string): Promise<void> {
  const primary = await namespace.primaryOf(shard);
  const [candidate] = (await namespace.list(Pods, `${labels.shard}=${shard}`))
    .map(({ metadata }) => metadata.name)
    .filter(name => name !== primary);
  if (candidate === undefined) throw new Error(`${shard} has one member only`);
  await namespace.kubectl(
    'exec',
    primary,
    '--container=database',
    '--',
    'patronictl',
    '--config-file=/tmp/patroni',
    'switchover',
    `--candidate=${candidate}`,
    '--force',
  );
}

function onNode(node: string, script: string): Promise<string> {
  return run('docker', ['exec', node, 'sh', '-c', script]);
}
